#include "backends/cpu/matrices.h"

namespace plait {
namespace {

using cpu::lapack::functions;

template <class T>
int factor(const T* a, T* l, int64_t n, int extent) {
  bool finite = true;
  for (int64_t i = 0; i < n; ++i) {
    finite = finite && cpu::all_finite(a + i * n, i + 1);
    std::copy(a + i * n, a + i * n + i + 1, l + i * n);
    std::fill(l + i * n + i + 1, l + (i + 1) * n, T(0));
  }
  int info = 0;
  if (finite) {
    functions<T>().potrf("U", &extent, l, &extent, &info, 1);  // the lower triangle, seen column by column
  } else {
    for (int64_t i = 0; i < n; ++i) cpu::fill_nan(l + i * n, i + 1);
  }
  return info;
}

void run(const KernelArgs& args) {
  const TensorView &in = args.inputs[0], &out = args.outputs[0];
  const auto [batch, n, columns] = cpu::matrices_of(in);
  if (in.count() == 0) return;
  const int extent = cpu::lapack_int("cholesky", n);
  cpu::dispatch_lapack(in.dtype, [&]<class T>() {
    cpu::for_each_matrix(
        batch, static_cast<double>(n) * static_cast<double>(n) * static_cast<double>(n) / 3,
        [&](int64_t i) { return factor(in.as<T>() + i * n * n, out.as<T>() + i * n * n, n, extent); },
        [&](int64_t i, int minor) { throw cpu::matrix_error("cholesky", minor, in, i); });
  });
}

}  // namespace

void register_cpu_kernels_cholesky(KernelTable& table) {
  table.add("cholesky", Backend::cpu, {.run = run, .checks_matrices = true});
}

}  // namespace plait
