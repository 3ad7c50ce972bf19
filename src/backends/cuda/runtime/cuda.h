// What regions and kernels need of the run-time part: the stream behind a queue, scratch memory, and errors.
#pragma once

#include <cuda_runtime_api.h>

#include <cstdint>

#include "memory/device.h"

namespace plait {

/// The stream that the work of a queue goes to, and the device it belongs to. Ask again before each group of launches,
/// after allocating what they use: an upload compares how often it was asked for to know what it need not wait for.
///
/// Threads: any. Errors: DeviceError for a queue nobody opened, after a device fault, and in the child of a fork.
cudaStream_t stream_of(memory::Queue queue);
int device_of(memory::Queue queue);
/// For what cannot be recorded (`DeviceBackend::begin_recording`). Errors: DeviceError naming `what` where the calling thread records.
void refuse_recording(memory::Queue queue, const char* what);

/// Scratch: `allocate(queue, bytes)`, a launch on the same queue, `release(queue, data)` at once behind it.
memory::DeviceMemory& cuda_memory();

/// Throws when a call of the CUDA run time failed; `what` names what was tried ("launch of softmax").
///
/// Errors: OutOfMemory for cudaErrorMemoryAllocation, else DeviceError. A fault of the device is kept: every later call
/// that touches the device repeats it.
void check_cuda(cudaError_t error, const char* what);

/// Makes a device current for the calling thread and, at the end of the scope, the one that was.
class DeviceScope {
 public:
  explicit DeviceScope(int device);
  ~DeviceScope();
  DeviceScope(const DeviceScope&) = delete;
  DeviceScope& operator=(const DeviceScope&) = delete;

 private:
  int before_ = 0;
};

}  // namespace plait
