#include "backends/cpu/gemm_kernels.h"

#include "backends/cpu/cpu_features.h"

namespace plait::cpu {

const GemmKernels& gemm_kernels() {
  static const GemmKernels table = [] {
    GemmKernels t;
    switch (active_target()) {
#if defined(__x86_64__)
      case Target::avx512:
        avx512::add_gemm_kernels(t);
        if (has_avx512_bf16()) avx512bf16::add_gemm_bf16_kernels(t);
        break;
      case Target::avx2: avx2::add_gemm_kernels(t); break;
#endif
      default: portable::add_gemm_kernels(t); break;
    }
    return t;
  }();
  return table;
}

}  // namespace plait::cpu
