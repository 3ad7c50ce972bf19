#pragma once

#include <cstdint>

#include "plait/export.h"
#include "plait/stream.h"

namespace plait {

// Counts and limits of the memory that arrays of this process hold on the host, in bytes. Sizes are those of the blocks
// handed out, which exceed the sizes asked by up to an eighth (and are at least 64 bytes). Any thread may call any of
// these.

/// Bytes in use by arrays.
PLAIT_API int64_t active_memory();

/// The most bytes in use at once since the start or the last `reset_peak_memory`, which sets it to 0.
PLAIT_API int64_t peak_memory();
PLAIT_API void reset_peak_memory();

/// Bytes of freed blocks that are kept for reuse.
PLAIT_API int64_t cache_memory();

/// Gives what is kept for reuse back to the system.
PLAIT_API void clear_cache();

/// The most bytes arrays may use at once; past it an allocation raises OutOfMemory. At first what the machine or the
/// cgroup has. Setting returns the previous limit.
PLAIT_API int64_t memory_limit();
PLAIT_API int64_t set_memory_limit(int64_t bytes);

/// The most bytes kept for reuse; beyond it the blocks freed longest ago are given back. At first a quarter of the
/// memory limit. Setting returns the previous limit.
PLAIT_API int64_t cache_limit();
PLAIT_API int64_t set_cache_limit(int64_t bytes);

/// The same counts and limits for one device: the host's are those above, a GPU has memory of its own.
struct MemoryStats {
  int64_t active = 0;
  int64_t peak = 0;
  int64_t cached = 0;
  int64_t limit = 0;
  int64_t cache_limit = 0;
};
/// Errors: DeviceError when the device is not available; so do the others.
PLAIT_API MemoryStats memory_stats(Device device);
PLAIT_API void reset_peak_memory(Device device);
PLAIT_API void clear_cache(Device device);
/// Return the limit before.
PLAIT_API int64_t set_memory_limit(Device device, int64_t bytes);
PLAIT_API int64_t set_cache_limit(Device device, int64_t bytes);

}  // namespace plait
