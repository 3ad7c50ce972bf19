#include "backends/cuda/kernels/element.cuh"
#include "backends/cuda/kernels/matrices.h"
#include "plait/error.h"

namespace plait::cuda {
namespace {

__device__ bool finite(float x) { return isfinite(x); }
__device__ bool finite(double x) { return isfinite(x); }
__device__ bool finite(Complex x) { return isfinite(x.re) && isfinite(x.im); }

__device__ bool zero(float x) { return x == 0; }
__device__ bool zero(double x) { return x == 0; }
__device__ bool zero(Complex x) { return x.re == 0 && x.im == 0; }

template <class T>
__device__ T real_number(double x) {
  if constexpr (std::is_same_v<T, Complex>)
    return {static_cast<float>(x), 0};
  else
    return static_cast<T>(x);
}

__device__ bool inside(Part part, int64_t i, int64_t j) {
  return part == Part::all || (part == Part::lower ? j <= i : j >= i);
}

// A block for each matrix.
template <class T>
__global__ void __launch_bounds__(kThreads) find_bad_kernel(const T* a, Matrices m, Part part, bool* bad) {
  for (int64_t b = blockIdx.x; b < m.batch; b += gridDim.x) {
    const T* const matrix = a + b * m.rows * m.columns;
    bool found = false;
    for (int64_t e = threadIdx.x; e < m.rows * m.columns && !found; e += kThreads)
      found = inside(part, e / m.columns, e % m.columns) && !finite(matrix[e]);
    found = __syncthreads_or(found) != 0;
    if (threadIdx.x == 0) bad[b] = found;
  }
}

template <class T>
__global__ void __launch_bounds__(kThreads)
    copy_kernel(T* to, Lies to_lies, const T* from, Lies from_lies, Matrices m, const bool* bad, bool conjugate) {
  const int64_t size = m.rows * m.columns;
  for (int64_t e = blockIdx.x * int64_t{kThreads} + threadIdx.x; e < m.batch * size;
       e += gridDim.x * int64_t{kThreads}) {
    const int64_t b = e / size, i = e % size / m.columns, j = e % m.columns;
    T x = from[b * from_lies.batch + i * from_lies.row + j * from_lies.column];
    if constexpr (std::is_same_v<T, Complex>)
      if (conjugate) x.im = -x.im;
    if (bad && bad[b]) x = real_number<T>(i == j);
    to[b * to_lies.batch + i * to_lies.row + j * to_lies.column] = x;
  }
}

template <class T>
__global__ void __launch_bounds__(kThreads) finish_kernel(T* a, Matrices m, Part part, const bool* bad) {
  const int64_t size = m.rows * m.columns;
  for (int64_t e = blockIdx.x * int64_t{kThreads} + threadIdx.x; e < m.batch * size;
       e += gridDim.x * int64_t{kThreads}) {
    if (!inside(part, e % size / m.columns, e % m.columns))
      a[e] = real_number<T>(0);
    else if (bad[e / size])
      a[e] = real_number<T>(nan(""));
  }
}

// A thread for each matrix: the exchanges follow each other.
template <class Index>
__global__ void __launch_bounds__(kThreads) orders_kernel(uint32_t* pivots, uint32_t* order, const Index* exchanges,
                                                          int64_t batch, int64_t count, int64_t rows, const bool* bad) {
  for (int64_t b = blockIdx.x * int64_t{kThreads} + threadIdx.x; b < batch; b += gridDim.x * int64_t{kThreads}) {
    uint32_t* const mine = order + b * rows;
    for (int64_t i = 0; i < rows; ++i) mine[i] = static_cast<uint32_t>(i);
    for (int64_t i = 0; i < count; ++i) {
      const auto k = static_cast<uint32_t>(bad[b] ? i : exchanges[b * count + i] - 1);
      pivots[b * count + i] = k;
      const uint32_t row = mine[i];
      mine[i] = mine[k];
      mine[k] = row;
    }
  }
}

__global__ void __launch_bounds__(kThreads)
    addresses_kernel(void** to, char* first, int64_t step_bytes, int64_t batch) {
  for (int64_t b = blockIdx.x * int64_t{kThreads} + threadIdx.x; b < batch; b += gridDim.x * int64_t{kThreads})
    to[b] = first + b * step_bytes;
}

template <class T>
__global__ void __launch_bounds__(kThreads) zeros_kernel(const T* a, Matrices m, int* failures) {
  for (int64_t b = blockIdx.x * int64_t{kThreads} + threadIdx.x; b < m.batch; b += gridDim.x * int64_t{kThreads}) {
    int found = 0;
    for (int64_t i = 0; i < m.rows && !found; ++i)
      if (zero(a[(b * m.rows + i) * m.columns + i])) found = static_cast<int>(i + 1);
    failures[b] = found;
  }
}

__global__ void __launch_bounds__(kThreads)
    note_kernel(const int* failures, int64_t batch, memory::PositionNote* note, const char* op, uint32_t source) {
  __shared__ unsigned long long first;
  if (threadIdx.x == 0) first = ~0ull;
  __syncthreads();
  for (int64_t b = threadIdx.x; b < batch; b += kThreads)
    if (failures[b] != 0) {
      atomicMin(&first, static_cast<unsigned long long>(b));
      break;
    }
  __syncthreads();
  volatile memory::PositionNote* to = note;
  if (threadIdx.x != 0 || first == ~0ull || to->op) return;
  to->given = failures[first];
  to->n = static_cast<int64_t>(first);
  to->matrices = batch;
  to->source = source;
  __threadfence_system();
  to->op = op;
}

template <class F>
void dispatch_solver(DType dtype, F&& f) {
  switch (dtype) {
    case DType::float32: return f.template operator()<float>();
    case DType::float64: return f.template operator()<double>();
    case DType::complex64: return f.template operator()<Complex>();
    default: throw InternalError("a kernel of linear algebra was given another dtype");
  }
}

}  // namespace

Matrices matrices_of(const TensorView& a) {
  Matrices m;
  const size_t rank = a.shape.size();
  for (size_t i = 0; i + 2 < rank; ++i) m.batch *= a.shape[i];
  m.rows = a.shape[rank - 2];
  m.columns = a.shape[rank - 1];
  return m;
}

void find_bad(const Work& work, DType dtype, const void* a, const Matrices& m, Part part, bool* bad) {
  dispatch_solver(dtype, [&]<class T>() {
    find_bad_kernel<<<blocks_for(m.batch, 1), kThreads, 0, work.stream()>>>(static_cast<const T*>(a), m, part, bad);
  });
  work.launched("check of matrices");
}

void copy_matrices(const Work& work, DType dtype, void* to, Lies to_lies, const void* from, Lies from_lies,
                   const Matrices& m, const bool* bad, bool conjugate) {
  if (m.batch * m.size() == 0) return;
  dispatch_solver(dtype, [&]<class T>() {
    copy_kernel<<<blocks_for(m.batch * m.size()), kThreads, 0, work.stream()>>>(
        static_cast<T*>(to), to_lies, static_cast<const T*>(from), from_lies, m, bad, conjugate);
  });
  work.launched("copy of matrices");
}

void finish(const Work& work, DType dtype, void* a, const Matrices& m, Part part, const bool* bad) {
  if (m.batch * m.size() == 0) return;
  dispatch_solver(dtype, [&]<class T>() {
    finish_kernel<<<blocks_for(m.batch * m.size()), kThreads, 0, work.stream()>>>(static_cast<T*>(a), m, part, bad);
  });
  work.launched("end of a factorization");
}

template <class Index>
void orders_of(const Work& work, uint32_t* pivots, uint32_t* order, const Index* exchanges, int64_t batch,
               int64_t count, int64_t rows, const bool* bad) {
  if (batch * rows == 0) return;
  orders_kernel<<<blocks_for(batch), kThreads, 0, work.stream()>>>(pivots, order, exchanges, batch, count, rows, bad);
  work.launched("order of rows");
}
template void orders_of(const Work&, uint32_t*, uint32_t*, const int*, int64_t, int64_t, int64_t, const bool*);
template void orders_of(const Work&, uint32_t*, uint32_t*, const int64_t*, int64_t, int64_t, int64_t, const bool*);

void** addresses_of(Work& work, void* first, int64_t step_bytes, int64_t batch) {
  auto** const to = work.scratch<void*>(batch);
  addresses_kernel<<<blocks_for(batch), kThreads, 0, work.stream()>>>(to, static_cast<char*>(first), step_bytes, batch);
  work.launched("addresses of matrices");
  return to;
}

void find_zeros(const Work& work, DType dtype, const void* a, const Matrices& m, int* failures) {
  dispatch_solver(dtype, [&]<class T>() {
    zeros_kernel<<<blocks_for(m.batch), kThreads, 0, work.stream()>>>(static_cast<const T*>(a), m, failures);
  });
  work.launched("check of diagonals");
}

void note_failure(const Work& work, const KernelArgs& args, const int* failures, int64_t batch) {
  check_internal(args.note != nullptr, "a kernel that checks matrices does not say so");
  note_kernel<<<1, kThreads, 0, work.stream()>>>(failures, batch, args.note, args.op.data(), args.source);
  work.launched("report of matrices");
}

}  // namespace plait::cuda
