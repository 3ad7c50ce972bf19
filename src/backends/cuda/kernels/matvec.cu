// One row times a matrix is bound by how fast the matrix arrives: a warp has a column of it, or shares one, and a lane many loads under
// way; the row is in shared memory.
#include "backends/cuda/kernels/element.cuh"
#include "backends/cuda/kernels/matvec.h"

namespace plait::cuda {
namespace {

constexpr int kAhead = 8;  // loads of a lane before their first use
constexpr int kWarps = kThreads / 32;
constexpr int kBlocksAtOnce = 4;  // on a multiprocessor
constexpr int64_t kMostBytes = 47 << 10;  // of the row, in shared memory

/// y[j] = sum of w[j][i] * x[i], plus c[j] where that is there.
struct RowCall {
  const char *w, *x, *c;
  char* y;
  int64_t n, w_row, c_step, y_step;
  int64_t w_batch, x_batch, c_batch, y_batch;
  int pieces;  // of 16 bytes, of a row
};

/// The matrix is read once: it need not stay in the cache of the multiprocessor.
__device__ inline uint4 read_once(const uint4* from) {
  uint4 v;
  asm volatile("ld.global.nc.L1::no_allocate.v4.u32 {%0, %1, %2, %3}, [%4];"
               : "=r"(v.x), "=r"(v.y), "=r"(v.z), "=r"(v.w)
               : "l"(from));
  return v;
}

template <class T>
__device__ inline float add_products(uint4 a, uint4 b, float sum) {
#pragma unroll
  for (int i = 0; i < 16 / static_cast<int>(sizeof(T)); ++i) {
    T x, y;
    memcpy(&x, reinterpret_cast<const char*>(&a) + i * sizeof(T), sizeof(T));
    memcpy(&y, reinterpret_cast<const char*>(&b) + i * sizeof(T), sizeof(T));
    sum = __fmaf_rn(widened(x), widened(y), sum);
  }
  return sum;
}

/// `kOfSum` warps share each sum.
template <class T, int kOfSum>
__global__ void __launch_bounds__(kThreads, kBlocksAtOnce) multiply_row_kernel(const __grid_constant__ RowCall call) {
  extern __shared__ uint4 x[];
  __shared__ float parts[kWarps];
  constexpr int kSums = kWarps / kOfSum, kStep = 32 * kOfSum;
  const int warp = threadIdx.x / 32, lane = threadIdx.x % 32;
  const int64_t j = blockIdx.x * int64_t{kSums} + warp / kOfSum, batch = blockIdx.y;
  const auto* const w = reinterpret_cast<const uint4*>(reinterpret_cast<const T*>(call.w) + batch * call.w_batch +
                                                       min(j, call.n - 1) * call.w_row);
  uint4 of_w[kAhead];
  const auto load = [&](int first) {
#pragma unroll
    for (int u = 0; u < kAhead; ++u)
      if (first + u * kStep < call.pieces) of_w[u] = read_once(w + first + u * kStep);
  };
  int first = warp % kOfSum * 32 + lane;
  load(first);
  const auto* const from = reinterpret_cast<const uint4*>(reinterpret_cast<const T*>(call.x) + batch * call.x_batch);
  for (int i = threadIdx.x; i < call.pieces; i += kThreads) x[i] = __ldg(from + i);
  __syncthreads();
  float sum = 0;
  while (first < call.pieces) {
#pragma unroll
    for (int u = 0; u < kAhead; ++u)
      if (first + u * kStep < call.pieces) sum = add_products<T>(of_w[u], x[first + u * kStep], sum);
    first += kStep * kAhead;
    load(first);
  }
#pragma unroll
  for (int other = 16; other > 0; other /= 2) sum += __shfl_xor_sync(~0u, sum, other);
  if constexpr (kOfSum > 1) {
    if (lane == 0) parts[warp] = sum;
    __syncthreads();
    if (warp % kOfSum == 0) {
      sum = parts[warp];
#pragma unroll
      for (int other = 1; other < kOfSum; ++other) sum += parts[warp + other];
    }
  }
  if (lane == 0 && warp % kOfSum == 0 && j < call.n) {
    if (call.c) sum += widened(reinterpret_cast<const T*>(call.c)[batch * call.c_batch + j * call.c_step]);
    reinterpret_cast<T*>(call.y)[batch * call.y_batch + j * call.y_step] = narrowed<T>(sum);
  }
}

template <class T>
void launch(const Work& work, const RowCall& call, int64_t batch) {
  constexpr int64_t kWarpsWanted = 8 * 132;  // so that enough loads are under way on a large GPU
  const auto with = [&](auto kernel, int of_sum) {
    const int64_t sums = kWarps / of_sum;
    const dim3 blocks(static_cast<unsigned>((call.n + sums - 1) / sums), static_cast<unsigned>(batch));
    kernel<<<blocks, kThreads, static_cast<size_t>(call.pieces) * 16, work.stream()>>>(call);
  };
  if (call.n * batch >= kWarpsWanted || call.pieces <= 64)
    with(multiply_row_kernel<T, 1>, 1);
  else if (2 * call.n * batch >= kWarpsWanted || call.pieces <= 128)
    with(multiply_row_kernel<T, 2>, 2);
  else
    with(multiply_row_kernel<T, 8>, 8);
  work.launched("matmul");
}

}  // namespace

bool multiply_row(const Work& work, const Product& p) {
  if (p.m != 1 && p.n != 1) return false;
  if (!is_half(p.dtype) && p.dtype != DType::float32) return false;
  Matrix w = p.b, x = p.a;
  RowCall call{};
  call.n = p.n;
  call.c_step = p.c.column;
  call.y_step = 1;
  if (p.m != 1) {  // the other way around: (m, k) times one column
    w = {p.a.data, p.a.column, p.a.row, p.a.batch};
    x = {p.b.data, p.b.column, p.b.row, p.b.batch};
    call.n = p.m;
    call.c_step = p.c.row;
    call.y_step = p.out_row == 0 ? 1 : p.out_row;
  }
  // Now w is (k, n), and x a row.
  const int64_t width = size_of(p.dtype), piece = 16 / width;
  const auto in_pieces = [&](const Matrix& m) {
    return reinterpret_cast<uintptr_t>(m.data) % 16 == 0 && (p.batch == 1 || m.batch % piece == 0);
  };
  constexpr int64_t kFewest = 64;  // sums, below which more blocks share the parts of one
  const bool fits = p.k % piece == 0 && p.k * width <= kMostBytes && call.n >= kFewest && call.n <= INT32_MAX &&
                    p.batch <= 65535 && w.row == 1 && x.column == 1 && w.column % piece == 0 && in_pieces(w) &&
                    in_pieces(x);
  if (!fits) return false;
  call.w = w.data;
  call.x = x.data;
  call.c = p.c.data;
  call.y = p.out;
  call.pieces = static_cast<int>(p.k / piece);
  call.w_row = w.column;
  call.w_batch = w.batch;
  call.x_batch = x.batch;
  call.c_batch = p.c.batch;
  call.y_batch = p.out_batch;
  if (p.dtype == DType::float16)
    launch<Half>(work, call, p.batch);
  else if (p.dtype == DType::bfloat16)
    launch<BHalf>(work, call, p.batch);
  else
    launch<float>(work, call, p.batch);
  return true;
}

}  // namespace plait::cuda
