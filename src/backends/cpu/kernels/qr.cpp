#include "backends/cpu/matrices.h"

namespace plait {
namespace {

using cpu::lapack::functions;

template <class T>
int64_t room_for(int columns, int rows) {
  const int ask = -1;
  int info = 0;
  T lq(0), q(0), none(0);
  functions<T>().gelqf(&columns, &rows, &none, &columns, &none, &lq, &ask, &info);
  functions<T>().orglq(&columns, &rows, &columns, &none, &columns, &none, &q, &ask, &info);
  return static_cast<int64_t>(std::max({std::abs(lq), std::abs(q), cpu::lapack::Real<T>(1)}));
}

/// a (m, n), m >= n, into q (m, n) and r (n, n). Seen column by column a is its transpose, whose factors L Q are R^T Q^T.
template <class T>
void factor(const T* a, T* q, T* r, int m, int n, int work_size) {
  const int64_t size = int64_t{m} * n;
  if (!cpu::all_finite(a, size)) {
    cpu::fill_nan(q, size);
    for (int64_t i = 0; i < n; ++i) {
      std::fill(r + i * n, r + i * n + i, T(0));
      cpu::fill_nan(r + i * n + i, n - i);
    }
    return;
  }
  std::copy(a, a + size, q);
  cpu::Room room;
  T* const tau = room.take<T>(n);
  T* const work = room.take<T>(work_size);
  int info = 0;
  functions<T>().gelqf(&n, &m, q, &n, tau, work, &work_size, &info);
  for (int64_t i = 0; i < n; ++i) {
    std::fill(r + i * n, r + i * n + i, T(0));
    std::copy(q + i * n + i, q + (i + 1) * n, r + i * n + i);
  }
  functions<T>().orglq(&n, &m, &n, q, &n, tau, work, &work_size, &info);
}

void run(const KernelArgs& args) {
  const TensorView& in = args.inputs[0];
  const auto [batch, m, n] = cpu::matrices_of(in);
  if (in.count() == 0) return;
  const int rows = cpu::lapack_int("qr", m), columns = cpu::lapack_int("qr", n);
  cpu::dispatch_lapack(in.dtype, [&]<class T>() {
    const int work = cpu::lapack_int("qr", room_for<T>(columns, rows));
    cpu::for_each_matrix(
        batch, 2.0 * static_cast<double>(m) * static_cast<double>(n) * static_cast<double>(n),
        [&](int64_t i) {
          factor(in.as<T>() + i * m * n, args.outputs[0].as<T>() + i * m * n, args.outputs[1].as<T>() + i * n * n, rows,
                 columns, work);
          return 0;
        },
        [](int64_t, int) {});
  });
}

}  // namespace

void register_cpu_kernels_qr(KernelTable& table) { table.add("qr", Backend::cpu, {.run = run}); }

}  // namespace plait
