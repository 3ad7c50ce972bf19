// What a device with memory of its own offers: queues of work, blocks of memory, copies. Buffers and the engine use it; a
// device's backend implements it.
#pragma once

#include <cstdint>
#include <string>

#include "plait/error.h"
#include "plait/export.h"
#include "plait/memory.h"

namespace plait::memory {

/// An order of work on one device: what is enqueued runs later, one after the other. Queues of all devices are numbered
/// together, from 0.
using Queue = uint32_t;

/// A point in the work of a queue: everything enqueued before it. `at` counts from 1; 0 was reached before all work.
struct Mark {
  Queue queue = 0;
  uint64_t at = 0;
};

/// Threads: any, also two on one queue at once, whose order is then theirs to arrange. Only `finish` answers interrupts.
/// Errors: DeviceError for a fault of the device, which may come from work enqueued before; every later call repeats it.
class PLAIT_API DeviceMemory {
 public:
  virtual ~DeviceMemory() = default;

  virtual int device_count() const = 0;
  virtual Queue open_queue(int device) = 0;
  virtual int device_of(Queue queue) const = 0;

  /// After all that is enqueued so far.
  virtual Mark mark(Queue queue) = 0;
  /// What is enqueued on `queue` from now on starts after `mark`. Nothing to do on the mark's own queue.
  virtual void wait(Queue queue, Mark mark) = 0;
  virtual bool reached(Mark mark) = 0;
  /// Blocks the calling thread, answering interrupts, until the mark is reached.
  virtual void finish(Mark mark) = 0;

  /// Memory that what is enqueued on `queue` from now on may use; aligned to 256 bytes, never null, contents undefined.
  /// Errors: OutOfMemory, after cached blocks were given up, with the bytes asked, held and cached.
  virtual void* allocate(Queue queue, int64_t bytes) = 0;
  /// Gives memory of `allocate(queue, ...)` back while work enqueued on `queue` before may still use it. Work of other
  /// queues that uses it must have been waited for by `queue`.
  virtual void release(Queue queue, void* data) noexcept = 0;

  /// Host to device. `from` has been read when it returns; work enqueued on `queue` from now on finds the bytes in `to`.
  virtual void upload(Queue queue, void* to, const void* from, int64_t bytes) = 0;
  /// Device to host, from the device of the mark's queue, as soon as `after` is reached, whatever else is enqueued;
  /// complete when it returns.
  virtual void download(Mark after, void* to, const void* from, int64_t bytes) = 0;
  /// Between memories of devices, or within one, as work of `queue`, which belongs to one of both.
  virtual void copy(Queue queue, void* to, const void* from, int64_t bytes) = 0;

  /// Memory of the host, zeros, that the devices address too; never given back. Errors: OutOfMemory, DeviceError.
  virtual void* allocate_shared(int64_t bytes) = 0;

  /// As the functions of plait/memory.h, for one device. The limit counts bytes; 0: none.
  struct Stats {
    int64_t active = 0;
    int64_t peak = 0;
    int64_t cached = 0;
    int64_t total = 0;  // what the device has
    int64_t limit = 0;  // of active bytes
    int64_t cache_limit = 0;
  };
  virtual Stats stats(int device) = 0;
  virtual void reset_peak(int device) = 0;
  virtual void set_limit(int device, int64_t bytes) = 0;
  virtual void set_cache_limit(int device, int64_t bytes) = 0;
  virtual void clear_cache(int device) = 0;
};

/// The error of `allocate`: `asked` bytes past the limit, or, within it, more than the device has left for all processes (`unused`).
PLAIT_API OutOfMemory out_of_device_memory(int64_t asked, const DeviceMemory::Stats& stats, int64_t unused);

/// The devices of this process, or null where there are none. The first call asks the loader. Threads: any.
PLAIT_API DeviceMemory* device_memory();
/// Why there are none, for a message.
PLAIT_API const std::string& why_no_devices();
/// Who finds the devices, or says why there are none; set by the engine when the library is loaded.
PLAIT_API void set_device_loader(DeviceMemory* (*load)(std::string& why_not)) noexcept;

}  // namespace plait::memory
