#include "backends/cuda/kernels/packed_rows.cuh"

namespace plait::cuda {

void multiply_rows_float16(const Work& work, const packed::Format& format, const FewRows& p) {
  launch_rows_of<__half>(work, format, p);
}

}  // namespace plait::cuda
