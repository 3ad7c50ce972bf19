// Kernels of opaque ops on CUDA devices, one for each op that the reference has (covariance_root, pinv and eig stay on the CPU).
#pragma once

#include <string_view>

#include "backends/kernel.h"

namespace plait {

/// The kernel of an op, or null. It enqueues its work on `KernelArgs::queue`; positions that lie outside are noted in
/// `KernelArgs::note`.
const Kernel* cuda_kernel(std::string_view op);

}  // namespace plait
