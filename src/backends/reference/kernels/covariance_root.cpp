#include <algorithm>
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

/// U S in columns of `w`, V in columns of `v`.
struct Factors {
  std::vector<double> w, v;
};

template <class T>
Factors factors_of(const T* in, int64_t n) {
  const auto size = static_cast<size_t>(n * n);
  Factors f{std::vector<double>(size), std::vector<double>(size, 0.0)};
  for (int64_t i = 0; i < n; ++i)
    for (int64_t j = 0; j < n; ++j) f.w[static_cast<size_t>(j * n + i)] = static_cast<double>(in[i * n + j]);
  for (int64_t i = 0; i < n; ++i) f.v[static_cast<size_t>(i * n + i)] = 1;
  orthogonalize(f.w.data(), f.v.data(), n);
  return f;
}

template <class T>
void root(const T* in, T* out, int64_t n) {
  const auto size = static_cast<size_t>(n * n);
  const auto [w, v] = factors_of(in, n);
  std::vector<double> sum(size, 0.0);
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

/// V d V^T, where d is V^T change V with each element over the sum of its row's and its column's root. Roots that are rounding
/// of T count as 0. Where both are, the element is 0; with `defined` all of it is NaN then.
template <class T>
void root_change(const T* in, const T* change, T* out, int64_t n, bool defined) {
  const auto size = static_cast<size_t>(n * n);
  const Factors f = factors_of(in, n);
  const auto turn = [&](int64_t k) { return f.v.data() + k * n; };
  std::vector<double> roots(static_cast<size_t>(n)), half(size), sum(size, 0.0);
  for (int64_t k = 0; k < n; ++k) {
    const double* const u = f.w.data() + k * n;
    roots[static_cast<size_t>(k)] = std::sqrt(std::sqrt(dot(u, u, n)));
    for (int64_t i = 0; i < n; ++i) {
      double& to = half[static_cast<size_t>(k * n + i)];
      for (int64_t j = 0; j < n; ++j)
        to += 0.5 * (static_cast<double>(change[i * n + j]) + static_cast<double>(change[j * n + i])) * turn(k)[j];
    }
  }
  const double largest = *std::max_element(roots.begin(), roots.end());
  const double rounding = largest * std::sqrt(static_cast<double>(n) * std::numeric_limits<T>::epsilon());
  for (double& r : roots)
    if (r <= rounding) r = 0;
  if (defined && std::count(roots.begin(), roots.end(), 0.0) > 0) {
    std::fill_n(out, n * n, std::numeric_limits<T>::quiet_NaN());
    return;
  }
  for (int64_t p = 0; p < n; ++p)
    for (int64_t q = 0; q < n; ++q) {
      const double both = roots[static_cast<size_t>(p)] + roots[static_cast<size_t>(q)];
      if (both == 0) continue;
      const double d = dot(turn(p), half.data() + q * n, n) / both;
      for (int64_t i = 0; i < n; ++i)
        for (int64_t j = 0; j < n; ++j) sum[static_cast<size_t>(i * n + j)] += turn(p)[i] * d * turn(q)[j];
    }
  for (size_t i = 0; i < size; ++i) out[i] = static_cast<T>(sum[i]);
}

/// Calls each(T(), i) for the matrix that begins at element i; T is its dtype.
template <class Each>
void for_matrices(const TensorView& out, const Each& each) {
  const int64_t n = out.shape.back();
  if (n == 0) return;
  parallel_for(out.count() / (n * n), 1, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i)
      out.dtype == DType::float64 ? each(double(), i * n * n) : each(float(), i * n * n);
  });
}

void run_root(const KernelArgs& args) {
  const TensorView &in = args.inputs[0], &out = args.outputs[0];
  for_matrices(out, [&]<class T>(T, int64_t at) { root(in.as<T>() + at, out.as<T>() + at, out.shape.back()); });
}

void run_root_change(const KernelArgs& args) {
  const TensorView &in = args.inputs[0], &change = args.inputs[1], &out = args.outputs[0];
  const bool defined = args.attrs.get<bool>("defined");
  for_matrices(out, [&]<class T>(T, int64_t at) {
    root_change(in.as<T>() + at, change.as<T>() + at, out.as<T>() + at, out.shape.back(), defined);
  });
}

}  // namespace

void register_reference_kernels_covariance_root(KernelTable& table) {
  table.add("covariance_root", Backend::reference, {.run = run_root});
  table.add("covariance_root_change", Backend::reference, {.run = run_root_change});
}

}  // namespace plait
