#pragma once

#include <cstdint>
#include <vector>

/// In which order the steps of a plan run.
namespace plait::engine {

/// One step, as far as the order looks at it.
struct Work {
  bool on_cpu = true;
  uint32_t waits = 0;            // for how many others
  std::vector<uint32_t> users = {};  // that wait for it
  std::vector<uint32_t> frees = {};  // blocks of memory that may go once it and their other readers have run
  double takes = 0;              // memory that it needs for its results
};

/// The order: of what is ready, first what devices do (it is only enqueued, and runs while the CPU works), then what
/// leaves less memory in use than before, then the oldest, as the user wrote it. `sizes` are those of the blocks.
std::vector<uint32_t> order_of(const std::vector<Work>& work, const std::vector<double>& sizes);

}  // namespace plait::engine
