#include "backends/cpu/attention_kernels.h"

#include "backends/cpu/cpu_features.h"

namespace plait::cpu {

const AttentionKernels& attention_kernels() {
#if defined(__x86_64__)
  if (active_target() == Target::avx512) return avx512::kAttentionKernels;
  if (active_target() == Target::avx2) return avx2::kAttentionKernels;
#endif
  return portable::kAttentionKernels;
}

}  // namespace plait::cpu
