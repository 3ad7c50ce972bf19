#include "transforms/rules.h"

#include <cstdlib>

#include "base/trace.h"

namespace plait {

bool counting_rules() {
  static const bool counting = std::getenv("PLAIT_COUNT_RULES") != nullptr;
  return counting;
}

void count_call(const std::string& name) { trace::count(name); }

}  // namespace plait
