#pragma once

#include <cstdint>
#include <optional>

#include "plait/export.h"

namespace plait {

enum class DeviceType : uint8_t { cpu, gpu };

/// Where an operation runs.
struct Device {
  DeviceType type = DeviceType::cpu;
  int index = 0;
  bool operator==(const Device&) const = default;
};

/// An order of execution on one device. Work of one stream runs in the order it was submitted.
struct Stream {
  uint32_t index = 0;
  Device device;
  bool operator==(const Stream&) const = default;
};

/// The device of new nodes: that of the calling thread's innermost StreamScope, else the process's.
PLAIT_API Device default_device();
/// Errors: DeviceError when the device is not available.
PLAIT_API void set_default_device(Device device);
PLAIT_API bool is_available(Device device);
PLAIT_API int device_count(DeviceType type);
/// The calling thread's stream for new nodes on the device.
PLAIT_API Stream default_stream(Device device);
/// Errors: DeviceError for a stream that neither default_stream nor new_stream gave.
PLAIT_API void set_default_stream(Stream stream);
PLAIT_API Stream new_stream(Device device);
/// Waits for everything submitted to the stream.
PLAIT_API void synchronize(Stream stream);

/// New nodes of this thread go to `stream` within the scope. Errors: those of set_default_stream.
class PLAIT_API StreamScope {
 public:
  explicit StreamScope(Stream stream);
  ~StreamScope();
  StreamScope(const StreamScope&) = delete;
  StreamScope& operator=(const StreamScope&) = delete;

 private:
  std::optional<Device> device_before_;
  Stream stream_before_;
};

}  // namespace plait
