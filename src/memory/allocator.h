// Blocks of host memory: sized, counted, kept for reuse. Buffers are made of them; statistics and limits are in
// plait/memory.h.
#pragma once

#include <cstdint>
#include <string>

#include "plait/export.h"
#include "plait/memory.h"

namespace plait::memory {

struct Block {
  void* data;        // aligned to 64 bytes, to 2 MiB from 2 MiB; never null
  int64_t capacity;  // bytes, at least those asked; 0 only when none were asked
};

/// Threads: any. Errors: OutOfMemory with the bytes asked, held and cached, when the request exceeds the memory limit,
/// or when the machine or the cgroup could not back it even with empty caches. No page is touched before that is known.
Block take_block(int64_t bytes);
void return_block(Block block) noexcept;

/// "64.0 MiB".
std::string in_words(int64_t bytes);

/// What a device's backend calls for each allocation of its own, which `debug::fail_allocation` counts too.
/// Errors: OutOfMemory when it is the one that has to fail.
PLAIT_API void count_device_allocation(int64_t bytes);

}  // namespace plait::memory
