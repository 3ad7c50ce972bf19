// Runs of a plan on a device that come again and again: recorded once, then enqueued as a whole.
#pragma once

#include <memory>
#include <mutex>
#include <vector>

#include "base/hash.h"
#include "engine/graph.h"

namespace plait::engine {

struct Plan;

/// The recordings of one plan. A recording works in memory of its own: operands are copied in and results out, so it holds for whatever
/// arrays come, but for one set of extents, strides and numbers. That pays where the launches cost more than the work: plans that
/// move much are not recorded.
///
/// Threads: any.
class Replays {
 public:
  Replays();
  ~Replays();
  Replays(const Replays&) = delete;
  Replays& operator=(const Replays&) = delete;

  /// Runs the graph by a recording: one that is there, or one made now because the same came before. Then `results` holds the storages of
  /// needed nodes, enqueued and marked. False, and nothing has happened, where the plan has to run step by step.
  /// Errors: OutOfMemory, DeviceError, Interrupted; what operands raise.
  bool run(const Plan& plan, const Graph& graph, std::vector<Storage>& results);

 private:
  class Entry;
  std::shared_ptr<Entry> entry_of(const Key128& key);

  std::mutex mutex_;
  std::vector<std::shared_ptr<Entry>> entries_;  // the last used first
  bool judged_ = false;
  bool fits_ = false;  // by its steps
};

}  // namespace plait::engine
