#include <cmath>
#include <limits>
#include <utility>
#include <vector>

#include "backends/kernel.h"
#include "base/parallel.h"

namespace plait {
namespace {

constexpr int kMostSweeps = 40;

double dot(const double* a, const double* b, int64_t n) {
  double sum = 0;
  for (int64_t i = 0; i < n; ++i) sum = std::fma(a[i], b[i], sum);
  return sum;
}

/// One-sided Jacobi (Hestenes, 1958): turns pairs of columns of `w` until all are orthogonal, so that w = U S; `v` takes the same
/// turns. Both hold n columns of n elements, one behind the other.
void orthogonalize(double* w, double* v, int64_t n) {
  const double precision = std::numeric_limits<double>::epsilon();
  const double nothing = precision * precision * dot(w, w, n * n);  // squared columns that are all rounding
  bool turned = true;
  for (int sweep = 0; turned && sweep < kMostSweeps; ++sweep) {
    turned = false;
    for (int64_t p = 0; p < n; ++p)
      for (int64_t q = p + 1; q < n; ++q) {
        double* const a = w + p * n;
        double* const b = w + q * n;
        const double aa = dot(a, a, n), bb = dot(b, b, n), ab = dot(a, b, n);
        if (!(std::abs(ab) > precision * std::sqrt(aa * bb)) || aa <= nothing || bb <= nothing) continue;
        turned = true;
        const double zeta = (bb - aa) / (2 * ab);
        const double t = std::copysign(1 / (std::abs(zeta) + std::sqrt(1 + zeta * zeta)), zeta);
        const double c = 1 / std::sqrt(1 + t * t), s = c * t;
        for (auto [x, y] : {std::pair{a, b}, std::pair{v + p * n, v + q * n}})
          for (int64_t i = 0; i < n; ++i) {
            const double left = x[i];
            x[i] = c * left - s * y[i];
            y[i] = s * left + c * y[i];
          }
      }
  }
}

template <class T>
void root(const T* in, T* out, int64_t n) {
  const auto size = static_cast<size_t>(n * n);
  std::vector<double> w(size), v(size, 0.0), sum(size, 0.0);
  for (int64_t i = 0; i < n; ++i)
    for (int64_t j = 0; j < n; ++j) w[static_cast<size_t>(j * n + i)] = static_cast<double>(in[i * n + j]);
  for (int64_t i = 0; i < n; ++i) v[static_cast<size_t>(i * n + i)] = 1;
  orthogonalize(w.data(), v.data(), n);
  for (int64_t k = 0; k < n; ++k) {
    const double* const u = w.data() + k * n;
    const double* const turns = v.data() + k * n;
    const double scale = std::sqrt(std::sqrt(dot(u, u, n)));
    if (scale == 0) continue;
    for (int64_t i = 0; i < n; ++i)
      for (int64_t j = 0; j < n; ++j) sum[static_cast<size_t>(i * n + j)] += u[i] / scale * turns[j];
  }
  for (size_t i = 0; i < size; ++i) out[i] = static_cast<T>(sum[i]);
}

template <class T>
void roots(const TensorView& in, const TensorView& out) {
  const int64_t n = in.shape.back();
  if (n == 0) return;
  parallel_for(in.count() / (n * n), 1, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) root(in.as<T>() + i * n * n, out.as<T>() + i * n * n, n);
  });
}

void run(const KernelArgs& args) {
  if (args.inputs[0].dtype == DType::float64) {
    roots<double>(args.inputs[0], args.outputs[0]);
  } else {
    roots<float>(args.inputs[0], args.outputs[0]);
  }
}

}  // namespace

void register_reference_kernels_covariance_root(KernelTable& table) {
  table.add("covariance_root", Backend::reference, {.run = run});
}

}  // namespace plait
