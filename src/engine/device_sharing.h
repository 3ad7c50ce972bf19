#pragma once

#include <span>

#include "engine/devices.h"
#include "graph/node.h"

/// Memory of devices that several libraries use.
namespace plait::engine {

/// Whether other libraries can use memory of this device: not that of simulated ones.
PLAIT_API bool can_share(Device device);

/// The calling thread's stream on a device, as other libraries know it (a cudaStream_t).
PLAIT_API void* native_stream(Device device);

/// An evaluated value in a device's memory, complete. As long as it lives, the memory is not used for anything else.
struct DeviceView {
  Array value;
  Storage storage;
  void* data = nullptr;
  memory::Queue queue = 0;
};
/// Evaluates, copies to the device if need be, and waits. Errors: as evaluation; DeviceError.
PLAIT_API DeviceView view_on_device(const Array& a, Device device);
/// Before a view ends that others may be reading: work of plait that comes next waits for what they have put on their stream.
PLAIT_API void wait_for_readers(const DeviceView& view, void* native_stream) noexcept;

/// An array over memory of someone else on a device, whose contents are complete for work that is put on `native_stream(device)`
/// next. `offset` counts bytes from `data`, strides elements. Errors: OutOfMemory, without a call of the deleter.
PLAIT_API Array adopt_on_device(Device device, void* data, int64_t bytes, Aval aval, Strides strides, int64_t offset,
                                ForeignDeleter deleter, void* context);

}  // namespace plait::engine
