#pragma once

#include "plait/export.h"

namespace plait {

/// From now on functions given to `compile` are run as they are, in the whole process; PLAIT_DISABLE_COMPILE=1 begins so.
PLAIT_API void disable_compile();
PLAIT_API void enable_compile();
PLAIT_API bool compile_enabled();

}  // namespace plait
