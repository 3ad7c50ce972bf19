#pragma once

#include <cstdint>

#include "plait/export.h"

namespace plait::debug {

/// For tests of programs that run out of memory: the allocation of array memory after the next `count` ones, of the host or of
/// a device, raises OutOfMemory, once. A negative count disarms.
///
/// Returns what was left to count before; negative when it was disarmed, or has failed. Threads: any, counting those of all.
PLAIT_API int64_t fail_allocation(int64_t count);

}  // namespace plait::debug
