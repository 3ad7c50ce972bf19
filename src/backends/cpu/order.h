#pragma once

#include "backends/cpu/order_kernels.h"
#include "plait/dtype.h"

namespace plait::cpu {

/// The searches for elements of this dtype, by instructions that this machine has.
const OrderKernels& order_kernels(DType);

}  // namespace plait::cpu
