#pragma once

#include <cstdint>
#include <string>

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

}  // namespace plait::engine
