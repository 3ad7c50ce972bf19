#pragma once

#include <cstdint>
#include <string>

#include "plait/export.h"
#include "plait/stream.h"

namespace plait {

struct DeviceInfo {
  std::string name;  // "NVIDIA H200"
  std::string architecture;  // "sm_90", "x86_64"
  int64_t memory_bytes = 0;  // of its own; 0 for the CPU
};

/// What is known of a device. Errors: DeviceError when it is not available.
PLAIT_API DeviceInfo device_info(Device device);

}  // namespace plait
