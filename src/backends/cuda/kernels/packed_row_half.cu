#include "backends/cuda/kernels/packed_row.cuh"

namespace plait::cuda {

void multiply_row_float16(const Work& work, const packed::Format& format, const FewRows& p) {
  launch_row_of<__half>(work, format, p);
}

}  // namespace plait::cuda
