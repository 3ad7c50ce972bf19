#pragma once

#include <cstdint>

#include "plait/stream.h"

namespace plait {

/// Names one stream for each thread that uses it; a thread's is made when it first does. Copies name the same streams.
class PLAIT_API ThreadLocalStream {
 public:
  const Device& device() const { return device_; }
  uint32_t id() const { return id_; }
  /// The calling thread's.
  Stream here() const;
  bool operator==(const ThreadLocalStream&) const = default;

 private:
  friend PLAIT_API ThreadLocalStream new_thread_local_stream(Device device);
  uint32_t id_ = 0;
  Device device_;
};

/// Errors: DeviceError when the device is not available.
PLAIT_API ThreadLocalStream new_thread_local_stream(Device device);

}  // namespace plait
