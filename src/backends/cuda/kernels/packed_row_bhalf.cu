#include "backends/cuda/kernels/packed_row.cuh"

namespace plait::cuda {

void multiply_row_bfloat16(const Work& work, const packed::Format& format, const FewRows& p) {
  launch_row_of<__nv_bfloat16>(work, format, p);
}

}  // namespace plait::cuda
