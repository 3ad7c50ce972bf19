// What kernels of linear algebra share: batches of row-major matrices on the pool, working memory, checks.
#pragma once

#include <algorithm>
#include <cmath>
#include <complex>
#include <cstdint>
#include <limits>
#include <mutex>
#include <string>
#include <vector>

#include "backends/cpu/lapack.h"
#include "backends/cpu/scratch.h"
#include "backends/kernel.h"
#include "base/dispatch.h"
#include "base/matrix_error.h"
#include "base/parallel.h"
#include "memory/buffer.h"
#include "plait/error.h"

namespace plait::cpu {

/// Working memory of one call. Large room comes from the cache of freed arrays and counts against the limit.
///
/// Errors: OutOfMemory.
class Room {
 public:
  template <class T>
  T* take(int64_t count) {
    const int64_t bytes = count * static_cast<int64_t>(sizeof(T));
    if (bytes <= kSmall) return scratch_.take<T>(count);
    large_.push_back(allocate(bytes));
    return static_cast<T*>(large_.back()->data());
  }

 private:
  static constexpr int64_t kSmall = int64_t{1} << 20;
  Scratch scratch_;
  std::vector<Ref<Buffer>> large_;
};

/// Matrices of the last two axes, one behind the other.
struct Matrices {
  int64_t batch = 1, rows = 0, columns = 0;
  int64_t size() const { return rows * columns; }
};

inline Matrices matrices_of(const TensorView& a) {
  Matrices m;
  const int rank = a.rank();
  for (int i = 0; i + 2 < rank; ++i) m.batch *= a.shape[static_cast<size_t>(i)];
  m.rows = a.shape[static_cast<size_t>(rank - 2)];
  m.columns = a.shape[static_cast<size_t>(rank - 1)];
  return m;
}

/// An extent as LAPACK takes it. Errors: ShapeError.
inline int lapack_int(std::string_view op, int64_t n) {
  if (n > std::numeric_limits<int>::max())
    throw ShapeError({.op = std::string(op),
                      .got = "matrices that need an extent or working memory of " + std::to_string(n) + " elements",
                      .accepts = "up to 2^31 - 1, which is what LAPACK counts with"});
  return static_cast<int>(n);
}

/// "1, 2" for the number i of the batch; empty where there is no batch.
inline std::string index_in_batch(const TensorView& a, int64_t i) {
  std::string text;
  for (int axis = a.rank() - 2; axis-- > 0;) {
    const int64_t n = a.shape[static_cast<size_t>(axis)];
    text = std::to_string(i % n) + (text.empty() ? "" : ", ") + text;
    i /= n;
  }
  return text;
}

/// `what` is LAPACK's number for matrix i of `a`.
inline MatrixError matrix_error(std::string_view op, int what, const TensorView& a, int64_t i) {
  return MatrixError(op, what, i, matrices_of(a).batch, index_in_batch(a, i));
}

/// Calls body(i) for i below `count` on the pool; `work` is what one costs, in multiplications. body returns 0 or what LAPACK says
/// went wrong, and the error is made by failure(i, what) for the first that went wrong, whichever thread had it.
template <class Body, class Failure>
void for_each_matrix(int64_t count, double work, const Body& body, const Failure& failure) {
  constexpr double kWorth = 1e6;  // multiplications worth a thread
  const double many = kWorth / (work + 1);
  const int64_t grain = many < 1 ? 1 : many > 1e6 ? 1000000 : static_cast<int64_t>(many);
  std::mutex mutex;
  int64_t first = std::numeric_limits<int64_t>::max();
  int what = 0;
  parallel_for(count, grain, [&](int64_t begin, int64_t end) {
    const lapack::Caller caller;
    for (int64_t i = begin; i < end; ++i) {
      const int info = body(i);
      if (info == 0) continue;
      const std::lock_guard lock(mutex);
      if (i < first) first = i, what = info;
    }
  });
  if (what != 0) failure(first, what);
}

/// Whether all are finite. LAPACK's iterations may not end, and its pivots point nowhere, where some are not.
template <class T>
bool all_finite(const T* x, int64_t count) {
  const auto* const parts = reinterpret_cast<const lapack::Real<T>*>(x);
  const int64_t n = count * (lapack::kIsComplex<T> ? 2 : 1);
  bool fine = true;
  for (int64_t i = 0; i < n; ++i) fine &= std::abs(parts[i]) <= std::numeric_limits<lapack::Real<T>>::max();
  return fine;
}

template <class T>
void fill_nan(T* x, int64_t count) {
  std::fill(x, x + count, T(std::numeric_limits<lapack::Real<T>>::quiet_NaN()));
}

/// to (columns, rows) = the transpose of from (rows, columns).
template <class T>
void turn_over(const T* from, T* to, int64_t rows, int64_t columns) {
  constexpr int64_t kTile = 16;
  for (int64_t i0 = 0; i0 < rows; i0 += kTile)
    for (int64_t j0 = 0; j0 < columns; j0 += kTile)
      for (int64_t j = j0; j < std::min(columns, j0 + kTile); ++j)
        for (int64_t i = i0; i < std::min(rows, i0 + kTile); ++i) to[j * rows + i] = from[i * columns + j];
}

/// Calls f.template operator()<T>() for the types that LAPACK has.
template <class F>
void dispatch_lapack(DType dtype, const F& f) {
  switch (dtype) {
    case DType::float32: return f.template operator()<float>();
    case DType::float64: return f.template operator()<double>();
    case DType::complex64: return f.template operator()<std::complex<float>>();
    default: throw InternalError("a kernel of linear algebra was given " + std::string(name_of(dtype)));
  }
}

}  // namespace plait::cpu
