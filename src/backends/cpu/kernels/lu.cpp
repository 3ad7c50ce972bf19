#include <numeric>
#include <utility>

#include "backends/cpu/matrices.h"

namespace plait {
namespace {

using cpu::lapack::functions;

/// Factors (m, n) at `a` into `lu`; rows of `a` are exchanged as `pivots` say, in that order, after which they stand as `order` says.
/// A factor with a zero on its diagonal is no error: the determinant of such a matrix is 0.
template <class T>
void factor(const T* a, T* lu, uint32_t* pivots, uint32_t* order, int m, int n) {
  const int64_t size = int64_t{m} * n, count = std::min(m, n);
  std::iota(pivots, pivots + count, 0u);
  std::iota(order, order + m, 0u);
  if (!cpu::all_finite(a, size)) {
    cpu::fill_nan(lu, size);
    return;
  }
  cpu::Room room;
  T* const columns = room.take<T>(size);
  int* const exchanged = room.take<int>(count);
  cpu::turn_over(a, columns, m, n);
  int info = 0;
  functions<T>().getrf(&m, &n, columns, &m, exchanged, &info);
  cpu::turn_over(columns, lu, n, m);
  for (int64_t i = 0; i < count; ++i) {
    pivots[i] = static_cast<uint32_t>(exchanged[i] - 1);
    std::swap(order[i], order[pivots[i]]);
  }
}

void run(const KernelArgs& args) {
  const TensorView &in = args.inputs[0], &out = args.outputs[0];
  const auto [batch, m, n] = cpu::matrices_of(in);
  const int64_t least = std::min(m, n);
  auto* const pivots = args.outputs[1].as<uint32_t>();
  auto* const order = args.outputs[2].as<uint32_t>();
  if (in.count() == 0) {  // no columns: rows stay where they are
    for (int64_t i = 0; i < batch; ++i) std::iota(order + i * m, order + (i + 1) * m, 0u);
    return;
  }
  const int rows = cpu::lapack_int("lu_factor", m), columns = cpu::lapack_int("lu_factor", n);
  cpu::dispatch_lapack(in.dtype, [&]<class T>() {
    cpu::for_each_matrix(
        batch, static_cast<double>(m) * static_cast<double>(n) * static_cast<double>(least),
        [&](int64_t i) {
          factor(in.as<T>() + i * m * n, out.as<T>() + i * m * n, pivots + i * least, order + i * m, rows, columns);
          return 0;
        },
        [](int64_t, int) {});
  });
}

}  // namespace

void register_cpu_kernels_lu(KernelTable& table) { table.add("lu_factor", Backend::cpu, {.run = run}); }

}  // namespace plait
