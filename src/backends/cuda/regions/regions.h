// Regions on the GPU: what the backend's compile_region gives.
#pragma once

#include <memory>

#include "backends/region.h"

namespace plait {

/// Runs at once on tier 0, a register machine, and on code made for the region by NVRTC from when that is ready; both give the same
/// bits. PLAIT_CUDA_TIER=0 or 1 in the environment forces one; 1 builds while `run` waits.
///
/// Threads: `run` from any. Errors of `run`: DeviceError, OutOfMemory.
std::unique_ptr<CompiledRegion> compile_region_cuda(RegionProgram program);

/// Loads the machine of tier 0 on the current device, so that no first result waits for it. Errors: DeviceError, OutOfMemory.
void prepare_regions_cuda();

}  // namespace plait
