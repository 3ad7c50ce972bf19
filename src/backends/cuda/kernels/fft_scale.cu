#include "backends/cuda/kernels/fft_scale.h"

namespace plait::cuda {
namespace {

__global__ void __launch_bounds__(kThreads) scale_all(float* data, int64_t count, float factor) {
  for (int64_t i = blockIdx.x * int64_t{kThreads} + threadIdx.x; i < count; i += gridDim.x * int64_t{kThreads})
    data[i] *= factor;
}

}  // namespace

void scale(const Work& work, float* data, int64_t count, float factor) {
  scale_all<<<blocks_for(count), kThreads, 0, work.stream()>>>(data, count, factor);
  work.launched("fft");
}

}  // namespace plait::cuda
