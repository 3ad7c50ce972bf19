#include "backends/cpu/packed_kernels.h"

#include "backends/cpu/cpu_features.h"

namespace plait::cpu {

const PackedKernels& packed_kernels() {
#if defined(__x86_64__)
  if (active_target() == Target::avx512) return avx512::kPackedKernels;
  if (active_target() == Target::avx2) return avx2::kPackedKernels;
#endif
  return portable::kPackedKernels;
}

}  // namespace plait::cpu
