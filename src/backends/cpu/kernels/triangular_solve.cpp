#include "backends/cpu/matrices.h"

namespace plait {
namespace {

using cpu::lapack::functions;

struct Settings {
  bool upper, transpose, unit;
};

/// Where the diagonal has a zero, counted from 1.
template <class T>
int zero_on_diagonal(const T* a, int64_t n) {
  for (int64_t i = 0; i < n; ++i)
    if (a[i * n + i] == T(0)) return static_cast<int>(i + 1);
  return 0;
}

/// x (n, k) of op(a) x = x, for columns of x that lie `stride` elements apart from row to row. To LAPACK both are transposes: the
/// system is x^T op(a)^T = b^T.
template <class T>
void solve(const T* a, T* x, int n, int columns, int stride, const Settings& s) {
  const T one(1);
  functions<T>().trsm("R", s.upper ? "L" : "U", s.transpose ? "T" : "N", s.unit ? "U" : "N", &columns, &n, &one, a, &n,
                      x, &stride, 1, 1, 1, 1);
}

template <class T>
void solve_all(const KernelArgs& args, const Settings& settings) {
  const TensorView &a = args.inputs[0], &b = args.inputs[1], &x = args.outputs[0];
  const auto [batch, n, k] = cpu::matrices_of(b);
  const int extent = cpu::lapack_int("solve_triangular", n), stride = cpu::lapack_int("solve_triangular", k);
  const auto* const left = a.as<T>();
  if (!settings.unit)
    for (int64_t i = 0; i < batch; ++i)
      if (const int at = zero_on_diagonal(left + i * n * n, n)) throw cpu::matrix_error("triangular_solve", at, a, i);
  std::copy(b.as<T>(), b.as<T>() + b.count(), x.as<T>());
  // Columns are independent of each other: a wide right-hand side is cut as well.
  const double square = static_cast<double>(n) * static_cast<double>(n);
  const int64_t width = std::max<int64_t>(64, static_cast<int64_t>(1e6 / square));
  const int64_t parts = (k - 1) / width + 1;
  cpu::for_each_matrix(
      batch * parts, square * static_cast<double>(std::min(k, width)) / 2,
      [&](int64_t i) {
        const int64_t begin = i % parts * width;
        solve(left + i / parts * n * n, x.as<T>() + i / parts * n * k + begin, extent,
              static_cast<int>(std::min(width, k - begin)), stride, settings);
        return 0;
      },
      [](int64_t, int) {});
}

void run(const KernelArgs& args) {
  if (args.inputs[1].count() == 0) return;
  const Settings settings{args.attrs.get<bool>("upper"), args.attrs.get<bool>("transpose"),
                          args.attrs.get<bool>("unit")};
  cpu::dispatch_lapack(args.inputs[0].dtype, [&]<class T>() { solve_all<T>(args, settings); });
}

}  // namespace

void register_cpu_kernels_triangular_solve(KernelTable& table) {
  table.add("triangular_solve", Backend::cpu, {.run = run, .checks_matrices = true});
}

}  // namespace plait
