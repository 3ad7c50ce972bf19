// Matrices picked by position, for products with packed ones.
#include "backends/cuda/kernels/packed.h"
#include "backends/cuda/kernels/positions.cuh"

namespace plait::cuda {
namespace {

__global__ void __launch_bounds__(kThreads)
    read_positions(int64_t* to_lhs, int64_t* to_rhs, Positions lhs, Positions rhs, int64_t count) {
  for (int64_t i = blockIdx.x * int64_t{kThreads} + threadIdx.x; i < count; i += gridDim.x * int64_t{kThreads}) {
    to_lhs[i] = lhs(i);
    to_rhs[i] = rhs(i);
  }
}

__global__ void __launch_bounds__(kThreads)
    copy_picked_kernel(uint16_t* to, const uint16_t* from, const int64_t* pick, int64_t count) {
  const int64_t matrix = *pick;
  for (int64_t i = blockIdx.x * int64_t{kThreads} + threadIdx.x; i < count; i += gridDim.x * int64_t{kThreads})
    to[i] = matrix < 0 ? uint16_t{0} : from[matrix * count + i];
}

}  // namespace

Picks read_picks(Work& work, const KernelArgs& args, int64_t matrices_of_x, int64_t packed_matrices) {
  const TensorView &lhs = args.inputs[args.inputs.size() - 2], &rhs = args.inputs.back();
  const int64_t count = lhs.count();
  auto* const to = work.scratch<int64_t>(2 * count);
  read_positions<<<blocks_for(count), kThreads, 0, work.stream()>>>(to, to + count, Positions(args, lhs, matrices_of_x),
                                                                    Positions(args, rhs, packed_matrices), count);
  work.launched("gather_qmm");
  return {to, to + count};
}

void copy_picked(const Work& work, void* to, const void* from, const int64_t* pick, int64_t bytes) {
  const int64_t count = bytes / 2;
  copy_picked_kernel<<<blocks_for(count), kThreads, 0, work.stream()>>>(
      static_cast<uint16_t*>(to), static_cast<const uint16_t*>(from), pick, count);
  work.launched("gather_qmm");
}

}  // namespace plait::cuda
