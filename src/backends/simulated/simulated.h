// Devices that are played by the CPU: memory of their own, queues that run behind the caller's back, the CPU's regions and
// kernels. They count and order transfers as a GPU does, so programs and tests for two memories run on any machine.
#pragma once

#include "backends/device.h"

namespace plait {

/// What PLAIT_SIMULATE_GPU asks for: so many devices; null when it is not set. Kernels named in PLAIT_SIMULATE_WITHOUT
/// ("sort,take") are missing. Lives for ever.
DeviceBackend* simulated_backend();

}  // namespace plait
