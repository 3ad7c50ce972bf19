#include "backends/cuda/kernels/element.cuh"
#include "backends/cuda/kernels/matmul_plain.h"

namespace plait::cuda {
namespace {

constexpr int kSide = 16;

template <class T>
__global__ void __launch_bounds__(kSide* kSide) multiply(Product p) {
  __shared__ Wide<T> a[kSide][kSide + 1], b[kSide][kSide + 1];
  const int x = threadIdx.x % kSide, y = threadIdx.x / kSide;
  const int64_t out_row = p.out_row == 0 ? p.n : p.out_row;
  const int64_t down = (p.m + kSide - 1) / kSide, across = (p.n + kSide - 1) / kSide;
  for (int64_t tile = blockIdx.x; tile < p.batch * down * across; tile += gridDim.x) {
    const int64_t product = tile / across / down;
    const int64_t i = tile / across % down * kSide + y, j = tile % across * kSide + x;
    const T* from_a = reinterpret_cast<const T*>(p.a.data) + product * p.a.batch;
    const T* from_b = reinterpret_cast<const T*>(p.b.data) + product * p.b.batch;
    const T* from_c = reinterpret_cast<const T*>(p.c.data) + product * p.c.batch;
    Wide<T> sum{};
    for (int64_t k = 0; k < p.k; k += kSide) {
      a[y][x] = i < p.m && k + x < p.k ? widened(from_a[i * p.a.row + (k + x) * p.a.column]) : Wide<T>{};
      b[y][x] = k + y < p.k && j < p.n ? widened(from_b[(k + y) * p.b.row + j * p.b.column]) : Wide<T>{};
      __syncthreads();
      for (int s = 0; s < kSide; ++s) sum = sum + a[y][s] * b[s][x];
      __syncthreads();
    }
    if (p.c.data && i < p.m && j < p.n) sum = sum + widened(from_c[i * p.c.row + j * p.c.column]);
    if (i < p.m && j < p.n) reinterpret_cast<T*>(p.out)[product * p.out_batch + i * out_row + j] = narrowed<T>(sum);
  }
}

}  // namespace

void matmul_plain(const Work& work, const Product& p) {
  const int64_t tiles = p.batch * ((p.m + kSide - 1) / kSide) * ((p.n + kSide - 1) / kSide);
  dispatch_arithmetic(p.dtype, [&]<class T>() {
    if constexpr (!std::is_integral_v<T> && !std::is_same_v<T, Bool>)
      multiply<T><<<blocks_for(tiles, 1), kSide * kSide, 0, work.stream()>>>(p);
  });
  work.launched("matmul");
}

}  // namespace plait::cuda
