// Factorizations by cuSOLVER, one matrix of a batch behind the other, or all at once where a routine takes many.
#include <algorithm>
#include <vector>

#include "backends/cuda/kernels/matrices.h"
#include "backends/cuda/kernels/tables.h"
#include "backends/cuda/libraries/cusolver.h"

namespace plait::cuda {
namespace {

cudaDataType type_of(DType d) {
  return d == DType::float64 ? CUDA_R_64F : d == DType::complex64 ? CUDA_C_32F : CUDA_R_32F;
}
cudaDataType real_type_of(DType d) { return d == DType::float64 ? CUDA_R_64F : CUDA_R_32F; }
int real_size_of(DType d) { return d == DType::float64 ? 8 : 4; }

char* at(void* data, int64_t element, int size) { return static_cast<char*>(data) + element * size; }

/// What the calls for one batch share.
struct Call {
  const KernelArgs& args;
  Work work;
  DType dtype;
  cudaDataType type, real;
  int size;
  SolverHandle handle;
  const CuSolver& solver = CuSolver::get();
  bool* bad = nullptr;
  int* failures = nullptr;

  Call(const KernelArgs& args, const Matrices& m, Part part)
      : args(args),
        work(args),
        dtype(args.inputs[0].dtype),
        type(type_of(dtype)),
        real(real_type_of(dtype)),
        size(size_of(dtype)),
        handle(device_of(args.queue), work.stream()) {
    refuse_recording(args.queue, "factorization");  // the library waits now and then
    bad = work.scratch<bool>(m.batch);
    failures = work.scratch<int>(m.batch);
    check_cuda(cudaMemsetAsync(failures, 0, static_cast<size_t>(m.batch) * sizeof(int), work.stream()),
               "factorization");
    find_bad(work, dtype, args.inputs[0].data, m, part, bad);
  }
  void* elements(int64_t count) { return work.scratch<char>(count * size); }
  void note(int64_t batch) const { note_failure(work, args, failures, batch); }
};

/// Whether a routine for a batch is the one to call.
bool at_once(const Matrices& m) { return m.batch > 1 && m.batch <= INT32_MAX && m.rows <= kSmallMatrix; }

/// call.operator()<T>(function) with the function for a dtype and the type of its elements.
template <class Float, class Double, class Complex, class F>
void call_for(DType dtype, Float of_float, Double of_double, Complex of_complex, const F& call) {
  if (dtype == DType::float64)
    call.template operator()<double>(of_double);
  else if (dtype == DType::complex64)
    call.template operator()<cuComplex>(of_complex);
  else
    call.template operator()<float>(of_float);
}

/// Working memory on both sides, for all calls of a batch: they follow each other on one stream.
struct Room {
  void* device = nullptr;
  std::vector<char> host;
  size_t device_bytes = 0, host_bytes = 0;

  void allocate(Work& work) {
    device = work.scratch<char>(static_cast<int64_t>(device_bytes));
    host.resize(host_bytes + 1);
  }
};

// The lower triangle, seen column by column, is an upper one.
void roots_one_by_one(Call& c, void* a, const Matrices& m) {
  const int64_t n = m.rows;
  Room room;
  check_solver(c.solver.Xpotrf_bufferSize(c.handle.get(), c.handle.settings(), CUBLAS_FILL_MODE_UPPER, n, c.type, a, n,
                                          c.type, &room.device_bytes, &room.host_bytes),
               "cholesky");
  room.allocate(c.work);
  for (int64_t i = 0; i < m.batch; ++i)
    check_solver(c.solver.Xpotrf(c.handle.get(), c.handle.settings(), CUBLAS_FILL_MODE_UPPER, n, c.type,
                                 at(a, i * n * n, c.size), n, c.type, room.device, room.device_bytes, room.host.data(),
                                 room.host_bytes, c.failures + i),
                 "cholesky");
}

void run_cholesky(const KernelArgs& args) {
  const Matrices m = matrices_of(args.inputs[0]);
  if (m.batch * m.size() == 0) return;
  Call c(args, m, Part::lower);
  const int64_t n = m.rows;
  void* const out = args.outputs[0].data;
  copy_matrices(c.work, c.dtype, out, by_rows(n, n), args.inputs[0].data, by_rows(n, n), m, c.bad);
  if (at_once(m)) {
    void** const each = addresses_of(c.work, out, n * n * c.size, m.batch);
    const auto extent = static_cast<int>(n);
    call_for(c.dtype, c.solver.SpotrfBatched, c.solver.DpotrfBatched, c.solver.CpotrfBatched,
             [&]<class T>(auto function) {
               check_solver(function(c.handle.get(), CUBLAS_FILL_MODE_UPPER, extent, reinterpret_cast<T**>(each),
                                     extent, c.failures, static_cast<int>(m.batch)),
                            "cholesky");
             });
  } else {
    roots_one_by_one(c, out, m);
  }
  finish(c.work, c.dtype, out, m, Part::lower, c.bad);
  c.note(m.batch);
}

/// Factors of matrices that lie column by column, and the exchanges of their rows as positions and orders.
void factors_one_by_one(Call& c, void* columns, const Matrices& m, uint32_t* pivots, uint32_t* order) {
  const int64_t k = std::min(m.rows, m.columns);
  auto* const exchanges = c.work.scratch<int64_t>(m.batch * k);
  Room room;
  check_solver(c.solver.Xgetrf_bufferSize(c.handle.get(), c.handle.settings(), m.rows, m.columns, c.type, columns,
                                          m.rows, c.type, &room.device_bytes, &room.host_bytes),
               "lu_factor");
  room.allocate(c.work);
  for (int64_t i = 0; i < m.batch; ++i)
    check_solver(c.solver.Xgetrf(c.handle.get(), c.handle.settings(), m.rows, m.columns, c.type,
                                 at(columns, i * m.size(), c.size), m.rows, exchanges + i * k, c.type, room.device,
                                 room.device_bytes, room.host.data(), room.host_bytes, c.failures + i),
                 "lu_factor");
  orders_of(c.work, pivots, order, exchanges, m.batch, k, m.rows, c.bad);
}

void factors_at_once(Call& c, void* columns, const Matrices& m, uint32_t* pivots, uint32_t* order) {
  const auto n = static_cast<int>(m.rows), batch = static_cast<int>(m.batch);
  int* const exchanges = c.work.scratch<int>(m.batch * n);
  void** const each = addresses_of(c.work, columns, m.size() * c.size, m.batch);
  const CublasHandle handle(device_of(c.args.queue), c.work.stream());
  const Cublas& cublas = Cublas::get();
  call_for(c.dtype, cublas.SgetrfBatched, cublas.DgetrfBatched, cublas.CgetrfBatched, [&]<class T>(auto function) {
    check_cublas(function(handle.get(), n, reinterpret_cast<T**>(each), n, exchanges, c.failures, batch), "lu_factor");
  });
  orders_of(c.work, pivots, order, exchanges, m.batch, m.rows, m.rows, c.bad);
}

void run_lu(const KernelArgs& args) {
  const Matrices m = matrices_of(args.inputs[0]);
  auto* const pivots = args.outputs[1].as<uint32_t>();
  auto* const order = args.outputs[2].as<uint32_t>();
  if (m.batch * m.rows == 0) return;
  if (m.columns == 0) {  // rows stay where they are
    const Work work(args);
    return orders_of<int64_t>(work, pivots, order, nullptr, m.batch, 0, m.rows, nullptr);
  }
  Call c(args, m, Part::all);
  void* const columns = c.elements(m.batch * m.size());
  const Lies there = by_columns(m.rows, m.columns), here = by_rows(m.rows, m.columns);
  copy_matrices(c.work, c.dtype, columns, there, args.inputs[0].data, here, m, c.bad);
  if (m.rows == m.columns && at_once(m))
    factors_at_once(c, columns, m, pivots, order);
  else
    factors_one_by_one(c, columns, m, pivots, order);
  copy_matrices(c.work, c.dtype, args.outputs[0].data, here, columns, there, m, nullptr);
  finish(c.work, c.dtype, args.outputs[0].data, m, Part::all, c.bad);
}

int orgqr_size(const Call& c, int m, int n, int k, const void* a, const void* tau) {
  int size = 0;
  call_for(c.dtype, c.solver.Sorgqr_bufferSize, c.solver.Dorgqr_bufferSize, c.solver.Cungqr_bufferSize,
           [&]<class T>(auto function) {
             check_solver(
                 function(c.handle.get(), m, n, k, static_cast<const T*>(a), m, static_cast<const T*>(tau), &size),
                 "qr");
           });
  return size;
}

void orgqr(const Call& c, int m, int n, int k, void* a, const void* tau, void* work, int work_size, int* info) {
  call_for(c.dtype, c.solver.Sorgqr, c.solver.Dorgqr, c.solver.Cungqr, [&]<class T>(auto function) {
    check_solver(function(c.handle.get(), m, n, k, static_cast<T*>(a), m, static_cast<const T*>(tau),
                          static_cast<T*>(work), work_size, info),
                 "qr");
  });
}

/// Factors (rows, k) at the first columns of `columns`, which has `width` columns for each matrix, and makes the first `width` columns of
/// Q there; in between calls `between` while R stands above the diagonal.
template <class Between>
void qr_in_place(Call& c, void* columns, int64_t batch, int64_t rows, int64_t k, int64_t width,
                 const Between& between) {
  const auto m = static_cast<int>(rows), n = static_cast<int>(k), w = static_cast<int>(width);
  const int64_t step = rows * width;
  void* const tau = c.elements(batch * std::max<int64_t>(k, 1));
  Room room;
  check_solver(c.solver.Xgeqrf_bufferSize(c.handle.get(), c.handle.settings(), rows, k, c.type, columns, rows, c.type,
                                          tau, c.type, &room.device_bytes, &room.host_bytes),
               "qr");
  room.allocate(c.work);
  for (int64_t i = 0; i < batch && k > 0; ++i)
    check_solver(c.solver.Xgeqrf(c.handle.get(), c.handle.settings(), rows, k, c.type, at(columns, i * step, c.size),
                                 rows, c.type, at(tau, i * k, c.size), c.type, room.device, room.device_bytes,
                                 room.host.data(), room.host_bytes, c.failures + i),
                 "qr");
  between();
  const int work_size = orgqr_size(c, m, w, n, columns, tau);
  void* const work = c.elements(work_size);
  for (int64_t i = 0; i < batch; ++i)
    orgqr(c, m, w, n, at(columns, i * step, c.size), at(tau, i * k, c.size), work, work_size, c.failures + i);
}

void run_qr(const KernelArgs& args) {
  const Matrices m = matrices_of(args.inputs[0]);
  if (m.batch * m.size() == 0) return;
  Call c(args, m, Part::all);
  const Matrices r{m.batch, m.columns, m.columns};
  void* const columns = c.elements(m.batch * m.size());
  const Lies lie = by_columns(m.rows, m.columns), to = by_rows(m.rows, m.columns);
  copy_matrices(c.work, c.dtype, columns, lie, args.inputs[0].data, to, m, c.bad);
  qr_in_place(c, columns, m.batch, m.rows, m.columns, m.columns, [&] {
    copy_matrices(c.work, c.dtype, args.outputs[1].data, by_rows(m.columns, m.columns), columns, lie, r, nullptr);
  });
  finish(c.work, c.dtype, args.outputs[1].data, r, Part::upper, c.bad);
  copy_matrices(c.work, c.dtype, args.outputs[0].data, to, columns, lie, m, nullptr);
  finish(c.work, c.dtype, args.outputs[0].data, m, Part::all, c.bad);
}

/// The identity, as which a bad matrix is copied.
void all_of_a_basis(const KernelArgs& args, const Matrices& m) {
  Work work(args);
  bool* const bad = work.scratch<bool>(m.batch);
  check_cuda(cudaMemsetAsync(bad, 1, static_cast<size_t>(m.batch), work.stream()), "orthonormal_complement");
  const TensorView& out = args.outputs[0];
  const Lies lies = by_rows(m.rows, m.rows);
  copy_matrices(work, out.dtype, out.data, lies, out.data, lies, {m.batch, m.rows, m.rows}, bad);
}

void run_complement(const KernelArgs& args) {
  const Matrices m = matrices_of(args.inputs[0]);
  const int64_t rest = m.rows - m.columns;
  if (m.batch * m.rows * rest == 0) return;
  if (m.columns == 0) return all_of_a_basis(args, m);
  Call c(args, m, Part::all);
  void* const columns = c.elements(m.batch * m.rows * m.rows);
  // What lies behind the first columns is overwritten, but nothing says that it is never read.
  check_cuda(cudaMemsetAsync(columns, 0, static_cast<size_t>(m.batch * m.rows * m.rows * c.size), c.work.stream()),
             "orthonormal_complement");
  const Lies whole = by_columns(m.rows, m.rows);
  copy_matrices(c.work, c.dtype, columns, whole, args.inputs[0].data, by_rows(m.rows, m.columns), m, c.bad);
  qr_in_place(c, columns, m.batch, m.rows, m.columns, m.rows, [] {});
  const Matrices out{m.batch, m.rows, rest};
  copy_matrices(c.work, c.dtype, args.outputs[0].data, by_rows(m.rows, rest), at(columns, m.rows * m.columns, c.size),
                whole, out, nullptr);
  finish(c.work, c.dtype, args.outputs[0].data, out, Part::all, c.bad);
}

/// The real numbers of each matrix of a batch as one row each.
Matrices rows_of_numbers(int64_t batch, int64_t n) { return {batch, 1, n}; }
DType real_of(DType d) { return d == DType::complex64 ? DType::float32 : d; }

void eigenvalues_at_once(Call& c, void* columns, void* w, const Matrices& m, cusolverEigMode_t mode) {
  const int64_t n = m.rows;
  Room room;
  check_solver(
      c.solver.XsyevBatched_bufferSize(c.handle.get(), c.handle.settings(), mode, CUBLAS_FILL_MODE_LOWER, n, c.type,
                                       columns, n, c.real, w, c.type, &room.device_bytes, &room.host_bytes, m.batch),
      "eigh");
  room.allocate(c.work);
  check_solver(c.solver.XsyevBatched(c.handle.get(), c.handle.settings(), mode, CUBLAS_FILL_MODE_LOWER, n, c.type,
                                     columns, n, c.real, w, c.type, room.device, room.device_bytes, room.host.data(),
                                     room.host_bytes, c.failures, m.batch),
               "eigh");
}

void eigenvalues_of_one(Call& c, void* columns, void* w, int64_t n, cusolverEigMode_t mode) {
  Room room;
  check_solver(c.solver.Xsyevd_bufferSize(c.handle.get(), c.handle.settings(), mode, CUBLAS_FILL_MODE_LOWER, n, c.type,
                                          columns, n, c.real, w, c.type, &room.device_bytes, &room.host_bytes),
               "eigh");
  room.allocate(c.work);
  check_solver(
      c.solver.Xsyevd(c.handle.get(), c.handle.settings(), mode, CUBLAS_FILL_MODE_LOWER, n, c.type, columns, n, c.real,
                      w, c.type, room.device, room.device_bytes, room.host.data(), room.host_bytes, c.failures),
      "eigh");
}

void run_eigh(const KernelArgs& args) {
  const Matrices m = matrices_of(args.inputs[0]);
  if (m.batch * m.size() == 0) return;
  Call c(args, m, Part::lower);
  const int64_t n = m.rows;
  const bool vectors = args.outputs.size() > 1;
  const cusolverEigMode_t mode = vectors ? CUSOLVER_EIG_MODE_VECTOR : CUSOLVER_EIG_MODE_NOVECTOR;
  void* const w = args.outputs[0].data;
  void* const columns = c.elements(m.batch * n * n);
  // Turned over the lower triangle stays one.
  copy_matrices(c.work, c.dtype, columns, by_columns(n, n), args.inputs[0].data, by_rows(n, n), m, c.bad);
  if (m.batch > 1)
    eigenvalues_at_once(c, columns, w, m, mode);
  else
    eigenvalues_of_one(c, columns, w, n, mode);
  if (vectors) {
    copy_matrices(c.work, c.dtype, args.outputs[1].data, by_rows(n, n), columns, by_columns(n, n), m, nullptr);
    finish(c.work, c.dtype, args.outputs[1].data, m, Part::all, c.bad);
  }
  finish(c.work, real_of(c.dtype), w, rows_of_numbers(m.batch, n), Part::all, c.bad);
  c.note(m.batch);
}

/// Of matrices with at least as many rows as columns, which is what the library takes; a wide one is, seen column by column, its transpose.
void run_svd(const KernelArgs& args) {
  const Matrices m = matrices_of(args.inputs[0]);
  if (m.batch * m.size() == 0) return;
  Call c(args, m, Part::all);
  const bool vectors = args.outputs.size() > 1, wide = m.rows < m.columns;
  const int64_t rows = std::max(m.rows, m.columns), k = std::min(m.rows, m.columns);
  const signed char job = vectors ? 'S' : 'N';
  void* const s = args.outputs[vectors ? 1 : 0].data;
  void* const columns = c.elements(m.batch * m.size());
  // Column by column, of the matrix or its transpose.
  copy_matrices(c.work, c.dtype, columns, wide ? by_rows(m.rows, m.columns) : by_columns(m.rows, m.columns),
                args.inputs[0].data, by_rows(m.rows, m.columns), m, c.bad);
  void* const left = vectors ? c.elements(m.batch * rows * k) : nullptr;
  void* const right = vectors ? c.elements(m.batch * k * k) : nullptr;
  Room room;
  check_solver(
      c.solver.Xgesvd_bufferSize(c.handle.get(), c.handle.settings(), job, job, rows, k, c.type, columns, rows, c.real,
                                 s, c.type, left, rows, c.type, right, k, c.type, &room.device_bytes, &room.host_bytes),
      "svd");
  room.allocate(c.work);
  for (int64_t i = 0; i < m.batch; ++i)
    check_solver(c.solver.Xgesvd(c.handle.get(), c.handle.settings(), job, job, rows, k, c.type,
                                 at(columns, i * m.size(), c.size), rows, c.real, at(s, i * k, real_size_of(c.dtype)),
                                 c.type, vectors ? at(left, i * rows * k, c.size) : nullptr, rows, c.type,
                                 vectors ? at(right, i * k * k, c.size) : nullptr, k, c.type, room.device,
                                 room.device_bytes, room.host.data(), room.host_bytes, c.failures + i),
                 "svd");
  if (vectors) {
    // left (rows, k) and right (k, k), column by column; of a transpose they are, read row by row, V^H and U.
    const Matrices u{m.batch, m.rows, k}, vh{m.batch, k, m.columns};
    const Lies left_lies = by_columns(rows, k), right_lies = by_columns(k, k);
    copy_matrices(c.work, c.dtype, args.outputs[0].data, by_rows(m.rows, k), wide ? right : left,
                  wide ? by_rows(k, k) : left_lies, u, nullptr);
    copy_matrices(c.work, c.dtype, args.outputs[2].data, by_rows(k, m.columns), wide ? left : right,
                  wide ? by_rows(k, m.columns) : right_lies, vh, nullptr);
    finish(c.work, c.dtype, args.outputs[0].data, u, Part::all, c.bad);
    finish(c.work, c.dtype, args.outputs[2].data, vh, Part::all, c.bad);
  }
  finish(c.work, real_of(c.dtype), s, rows_of_numbers(m.batch, k), Part::all, c.bad);
  c.note(m.batch);
}

/// LAPACK's integers in the calls that have no others.
bool fits(const KernelArgs& args) {
  const Matrices m = matrices_of(args.inputs[0]);
  return m.size() < INT32_MAX;
}

}  // namespace

void add_factorization_kernels(Table& table) {
  table.push_back({"cholesky", {.run = run_cholesky, .checks_matrices = true}});
  table.push_back({"lu_factor", {.run = run_lu}});
  table.push_back({"qr", {.run = run_qr, .takes = fits}});
  table.push_back({"orthonormal_complement", {.run = run_complement, .takes = fits}});
  table.push_back({"eigh", {.run = run_eigh, .checks_matrices = true}});
  table.push_back({"svd", {.run = run_svd, .checks_matrices = true}});
}

}  // namespace plait::cuda
