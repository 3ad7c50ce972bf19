#include "backends/cpu/matrices.h"

namespace plait {
namespace {

using cpu::lapack::functions;
using cpu::lapack::kIsComplex;
using cpu::lapack::Real;
using Complex = std::complex<float>;

template <class T>
int work_size(int n, bool vectors) {
  const char* const right = vectors ? "V" : "N";
  const int ask = -1;
  int info = 0;
  T size(0), none(0);
  Real<T> real(0);
  if constexpr (kIsComplex<T>) {
    functions<T>().geev_complex("N", right, &n, &none, &n, &none, &none, &n, &none, &n, &size, &ask, &real, &info, 1,
                                1);
  } else {
    functions<T>().geev("N", right, &n, &none, &n, &none, &none, &none, &n, &none, &n, &size, &ask, &info, 1, 1);
  }
  return cpu::lapack_int("eig", std::max(int64_t{4} * n, static_cast<int64_t>(std::abs(size))));
}

/// Vectors lie in columns one behind the other. A real matrix has a pair of conjugate ones as real and imaginary part.
template <class T>
void unpack(const T* columns, const T* imaginary, Complex* v, int64_t n) {
  const auto at = [&](int64_t i, int64_t j) { return static_cast<float>(columns[j * n + i]); };
  for (int64_t j = 0; j < n; ++j)
    if (imaginary[j] == T(0)) {
      for (int64_t i = 0; i < n; ++i) v[i * n + j] = at(i, j);
    } else {
      for (int64_t i = 0; i < n; ++i) {
        v[i * n + j] = Complex(at(i, j), at(i, j + 1));
        v[i * n + j + 1] = std::conj(v[i * n + j]);
      }
      ++j;
    }
}

template <class T>
int decompose(const T* a, Complex* w, Complex* v, int n, int size_of_work) {
  const int64_t size = int64_t{n} * n;
  if (!cpu::all_finite(a, size)) {
    cpu::fill_nan(w, n);
    if (v) cpu::fill_nan(v, size);
    return 0;
  }
  cpu::Room room;
  T* const columns = room.take<T>(size);
  T* const vectors = room.take<T>(v ? size : 1);
  T* const work = room.take<T>(size_of_work);
  T* const values = room.take<T>(2 * int64_t{n});
  cpu::turn_over(a, columns, n, n);
  const char* const right = v ? "V" : "N";
  T none(0);
  int info = 0;
  if constexpr (kIsComplex<T>) {
    Real<T>* const reals = room.take<Real<T>>(2 * int64_t{n});
    functions<T>().geev_complex("N", right, &n, columns, &n, values, &none, &n, vectors, &n, work, &size_of_work, reals,
                                &info, 1, 1);
    std::copy(values, values + n, w);
    if (v) cpu::turn_over(vectors, v, n, n);
  } else {
    functions<T>().geev("N", right, &n, columns, &n, values, values + n, &none, &n, vectors, &n, work, &size_of_work,
                        &info, 1, 1);
    for (int64_t i = 0; i < n; ++i) w[i] = Complex(static_cast<float>(values[i]), static_cast<float>(values[n + i]));
    if (v && info == 0) unpack(vectors, values + n, v, n);
  }
  return info;
}

void run(const KernelArgs& args) {
  const TensorView& in = args.inputs[0];
  const auto [batch, n, columns] = cpu::matrices_of(in);
  if (in.count() == 0) return;
  const bool vectors = args.outputs.size() > 1;
  const int extent = cpu::lapack_int("eig", n);
  const double cube = static_cast<double>(n) * static_cast<double>(n) * static_cast<double>(n);
  cpu::dispatch_lapack(in.dtype, [&]<class T>() {
    const int work = work_size<T>(extent, vectors);
    cpu::for_each_matrix(
        batch, 10 * cube,
        [&](int64_t i) {
          return decompose(in.as<T>() + i * n * n, args.outputs[0].as<Complex>() + i * n,
                           vectors ? args.outputs[1].as<Complex>() + i * n * n : nullptr, extent, work);
        },
        [&](int64_t i, int info) { throw cpu::matrix_error("eig", info, in, i); });
  });
}

}  // namespace

void register_cpu_kernels_eig(KernelTable& table) {
  table.add("eig", Backend::cpu, {.run = run, .checks_matrices = true});
}

}  // namespace plait
