// LAPACK as OpenBLAS has it, opened when first needed: a program without linear algebra loads nothing and has none of its threads.
//
// Matrices are column-major there. The kernels hand over row-major ones as what they then are, transposes, and choose routines
// accordingly; only where no routine fits do they turn a matrix over.
#pragma once

#include <complex>
#include <cstddef>
#include <type_traits>

namespace plait::cpu {

namespace lapack {

template <class T>
struct RealOf {
  using type = T;
};
template <class T>
struct RealOf<std::complex<T>> {
  using type = T;
};
template <class T>
using Real = typename RealOf<T>::type;
template <class T>
inline constexpr bool kIsComplex = !std::is_same_v<T, Real<T>>;

using Size = size_t;  // lengths of texts, which Fortran's compiler passes behind all other arguments

/// The functions for one type of elements, float, double or std::complex<float>, by Fortran's calling convention.
template <class T>
struct Functions {
  using R = Real<T>;
  void (*gemm)(const char* trans_a, const char* trans_b, const int* m, const int* n, const int* k, const T* alpha,
               const T* a, const int* lda, const T* b, const int* ldb, const T* beta, T* c, const int* ldc, Size, Size);
  void (*trsm)(const char* side, const char* uplo, const char* trans, const char* diag, const int* m, const int* n,
               const T* alpha, const T* a, const int* lda, T* b, const int* ldb, Size, Size, Size, Size);
  void (*potrf)(const char* uplo, const int* n, T* a, const int* lda, int* info, Size);
  void (*getrf)(const int* m, const int* n, T* a, const int* lda, int* pivots, int* info);
  void (*gelqf)(const int* m, const int* n, T* a, const int* lda, T* tau, T* work, const int* lwork, int* info);
  void (*orglq)(const int* m, const int* n, const int* k, T* a, const int* lda, const T* tau, T* work, const int* lwork,
                int* info);
  void (*syevd)(const char* jobz, const char* uplo, const int* n, T* a, const int* lda, R* w, T* work, const int* lwork,
                int* iwork, const int* liwork, int* info, Size, Size);
  void (*heevd)(const char* jobz, const char* uplo, const int* n, T* a, const int* lda, R* w, T* work, const int* lwork,
                R* rwork, const int* lrwork, int* iwork, const int* liwork, int* info, Size, Size);
  void (*gesdd)(const char* jobz, const int* m, const int* n, T* a, const int* lda, R* s, T* u, const int* ldu, T* vt,
                const int* ldvt, T* work, const int* lwork, int* iwork, int* info, Size);
  void (*gesdd_complex)(const char* jobz, const int* m, const int* n, T* a, const int* lda, R* s, T* u, const int* ldu,
                        T* vt, const int* ldvt, T* work, const int* lwork, R* rwork, int* iwork, int* info, Size);
  void (*geev)(const char* jobvl, const char* jobvr, const int* n, T* a, const int* lda, T* wr, T* wi, T* vl,
               const int* ldvl, T* vr, const int* ldvr, T* work, const int* lwork, int* info, Size, Size);
  void (*geev_complex)(const char* jobvl, const char* jobvr, const int* n, T* a, const int* lda, T* w, T* vl,
                       const int* ldvl, T* vr, const int* ldvr, T* work, const int* lwork, R* rwork, int* info, Size,
                       Size);
};

/// Those of the other kind (syevd of complex numbers, heevd of real ones) are null. Errors: DeviceError where the library cannot be
/// had.
template <class T>
const Functions<T>& functions();

/// While it lives the thread may call LAPACK. The library has room for a number of callers and ends the process when there are more;
/// who comes then waits.
class Caller {
 public:
  Caller();
  ~Caller();
  Caller(const Caller&) = delete;
  Caller& operator=(const Caller&) = delete;
};

}  // namespace lapack
}  // namespace plait::cpu
