// Triangular solves by cuBLAS. A row-major system is, seen column by column, that of the transposes: x^T op(a)^T = b^T.
#include "backends/cuda/kernels/matrices.h"
#include "backends/cuda/kernels/tables.h"
#include "backends/cuda/libraries/cusolver.h"

namespace plait::cuda {
namespace {

struct Settings {
  cublasFillMode_t triangle;
  cublasOperation_t operation;
  cublasDiagType_t diagonal;
};

template <class T, class Solve, class SolveMany>
void solve(const KernelArgs& args, Work& work, const Settings& s, Solve function, SolveMany at_once, T one) {
  const TensorView &a = args.inputs[0], &x = args.outputs[0];
  const Matrices m = matrices_of(x);
  const auto n = static_cast<int>(m.rows), k = static_cast<int>(m.columns);
  const CublasHandle handle(device_of(args.queue), work.stream());
  if (m.batch > 1 && m.batch <= INT32_MAX && n <= kSmallMatrix) {
    constexpr int64_t kSize = sizeof(T);
    auto* const matrices = reinterpret_cast<T**>(addresses_of(work, a.data, m.rows * m.rows * kSize, m.batch));
    auto* const sides = reinterpret_cast<T**>(addresses_of(work, x.data, m.size() * kSize, m.batch));
    check_cublas(at_once(handle.get(), CUBLAS_SIDE_RIGHT, s.triangle, s.operation, s.diagonal, k, n, &one, matrices, n,
                         sides, k, static_cast<int>(m.batch)),
                 "triangular_solve");
    return;
  }
  for (int64_t i = 0; i < m.batch; ++i)
    check_cublas(function(handle.get(), CUBLAS_SIDE_RIGHT, s.triangle, s.operation, s.diagonal, k, n, &one,
                          a.as<T>() + i * m.rows * m.rows, n, x.as<T>() + i * m.size(), k),
                 "triangular_solve");
}

void run(const KernelArgs& args) {
  const TensorView &a = args.inputs[0], &b = args.inputs[1], &x = args.outputs[0];
  if (b.count() == 0) return;
  refuse_recording(args.queue, "solve_triangular");  // the library waits now and then
  Work work(args);
  const Matrices m = matrices_of(a);
  const bool unit = args.attrs.get<bool>("unit");
  const Settings s{args.attrs.get<bool>("upper") ? CUBLAS_FILL_MODE_LOWER : CUBLAS_FILL_MODE_UPPER,
                   args.attrs.get<bool>("transpose") ? CUBLAS_OP_T : CUBLAS_OP_N,
                   unit ? CUBLAS_DIAG_UNIT : CUBLAS_DIAG_NON_UNIT};
  if (!unit) {
    int* const failures = work.scratch<int>(m.batch);
    find_zeros(work, a.dtype, a.data, m, failures);
    note_failure(work, args, failures, m.batch);
  }
  check_cuda(cudaMemcpyAsync(x.data, b.data, static_cast<size_t>(b.count() * size_of(b.dtype)),
                             cudaMemcpyDeviceToDevice, work.stream()),
             "triangular_solve");
  const Cublas& cublas = Cublas::get();
  switch (a.dtype) {
    case DType::float64: return solve<double>(args, work, s, cublas.Dtrsm, cublas.DtrsmBatched, 1.0);
    case DType::complex64:
      return solve<cuComplex>(args, work, s, cublas.Ctrsm, cublas.CtrsmBatched, make_cuComplex(1, 0));
    default: return solve<float>(args, work, s, cublas.Strsm, cublas.StrsmBatched, 1.0f);
  }
}

bool fits(const KernelArgs& args) {
  return matrices_of(args.inputs[0]).rows <= INT32_MAX && matrices_of(args.inputs[1]).columns <= INT32_MAX;
}

}  // namespace

void add_triangular_kernels(Table& table) {
  table.push_back({"triangular_solve", {.run = run, .checks_matrices = true, .takes = fits}});
}

}  // namespace plait::cuda
