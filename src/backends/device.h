// A device's backend: memory, regions and kernels of opaque ops. The shared library of a backend exports one function that
// gives it; see device_library.h.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "backends/kernel.h"
#include "backends/region.h"
#include "memory/device.h"
#include "plait/device_info.h"

namespace plait {

/// Work of a queue with the memory it uses, to be enqueued again as a whole.
///
/// Threads: one at a time. Its end waits until the queue has done what was enqueued of it.
class Recording {
 public:
  virtual ~Recording() = default;
  /// Errors: DeviceError.
  virtual void replay() = 0;
  /// What it holds.
  virtual int64_t bytes() const = 0;
};

/// Threads: any. Regions and kernels enqueue their work on the queue they are given (RegionBinding::queue,
/// KernelArgs::queue) and return; pointers are the device's. Scratch memory comes from `allocate` of the same queue and
/// may be released at once behind the launch.
class DeviceBackend : public memory::DeviceMemory {
 public:
  virtual std::string_view name() const = 0;
  virtual DeviceInfo info(int device) const = 0;

  /// The region for all devices of this backend; never waits for a compiler.
  virtual std::unique_ptr<CompiledRegion> compile_region(RegionProgram region) = 0;
  /// The kernel of an opaque op, or null: then it runs on the CPU.
  virtual const Kernel* find_kernel(std::string_view op) const = 0;

  /// From now on what this thread enqueues on `queue` is recorded and not run, and what it allocates there is the recording's, until
  /// `end_recording`, which it has to call. What waits for the host or another queue raises DeviceError meanwhile. False, and nothing has
  /// begun, while something that waits for the device as a whole is under way on another thread: later it can be recorded.
  [[nodiscard]] virtual bool begin_recording(memory::Queue queue) = 0;
  /// Null where not all could be recorded; then `why_not` says why.
  virtual std::unique_ptr<Recording> end_recording(memory::Queue queue, std::string& why_not) = 0;

  struct Piece {
    void* to;
    const void* from;
    int64_t bytes;
  };
  /// Copies within the device of `queue`, in few launches; pieces do not overlap.
  virtual void copy_all(memory::Queue queue, std::span<const Piece> pieces) = 0;

  /// The queue as other libraries know it (a cudaStream_t); null where they cannot use this device's memory.
  virtual void* native_stream(memory::Queue /*queue*/) { return nullptr; }
  /// What is enqueued on `queue` from now on starts after what others have put on their stream by now; nothing where that
  /// stream is gone.
  virtual void wait_for_native(memory::Queue /*queue*/, void* /*stream*/) noexcept {}
};

/// What a backend's library exports by this name: the backend, or null with the reason why the machine can't have it.
inline constexpr const char* kDeviceBackendSymbol = "plait_device_backend";
using DeviceBackendEntry = DeviceBackend* (*)(std::string & why_not);

}  // namespace plait
