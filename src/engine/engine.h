#pragma once

#include <cstdint>
#include <string>

#include "plait/export.h"

namespace plait::engine {

/// Makes this engine the process's evaluator and fills the op registry; called once when the library is loaded.
void start();

/// Plans kept; past it the least recently used go.
inline constexpr size_t kMaxPlans = 2048;

struct PlanCacheStats {
  int64_t built = 0;
  int64_t hits = 0;
  int64_t held = 0;
};
PlanCacheStats plan_cache_stats();
void clear_plan_cache();

/// Gives back the background work that has not begun, now and from now on, and waits for the rest: what comes next may end the
/// process, and destroy what other libraries keep while they are at work. Errors: Interrupted.
PLAIT_API void end_background_work();

}  // namespace plait::engine
