#pragma once

#include <cstdint>
#include <span>

#include "plait/array.h"

namespace plait {

/// Bytes of the buffers behind evaluated arrays. Errors: ArgumentError for an array that is not evaluated.
PLAIT_API int64_t get_array_buffer_size(std::span<const Array> arrays);

/// Nothing is wired on Linux: has no effect, and returns the limit before.
PLAIT_API int64_t set_wired_limit(int64_t bytes);

}  // namespace plait
