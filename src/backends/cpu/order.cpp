#include "backends/cpu/order.h"

#include "backends/cpu/cpu_features.h"

namespace plait::cpu {
namespace {

const OrderKernels* kernels_of_target() {
#if defined(__x86_64__)
  if (active_target() == Target::avx512) return avx512::kOrderKernels;
  if (active_target() == Target::avx2) return avx2::kOrderKernels;
#endif
  return portable::kOrderKernels;
}

}  // namespace

const OrderKernels& order_kernels(DType dtype) {
  static const OrderKernels* const all = kernels_of_target();
  return all[static_cast<int>(dtype)];
}

}  // namespace plait::cpu
