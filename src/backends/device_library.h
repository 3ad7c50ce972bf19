// Finds the library of a device's backend and loads it.
#pragma once

#include <string>

#include "backends/device.h"

namespace plait {

/// The backend of this machine's devices, or null where there is none. The first call loads it: PLAIT_DEVICE_LIBRARY if
/// that is set (empty: no device), else libplait_cuda.so beside libplait.so, else the one the system's loader finds.
///
/// Threads: any. Errors: std::bad_alloc alone; what else went wrong is in `why_no_device`.
PLAIT_API DeviceBackend* device_backend();

/// Why `device_backend` is null; empty when it is not.
PLAIT_API const std::string& why_no_device();

}  // namespace plait
