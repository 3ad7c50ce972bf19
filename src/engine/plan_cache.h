#pragma once

#include <cstddef>
#include <list>
#include <memory>
#include <mutex>
#include <string>
#include <unordered_map>

#include "base/hash.h"
#include "engine/engine.h"
#include "engine/plan.h"

namespace plait::engine {

/// The plans used last, by the key of their structure.
///
/// Threads: any.
class PlanCache {
 public:
  /// Null when there is none; counts a hit otherwise.
  std::shared_ptr<const Plan> find(const Key128& key);
  /// The same without counting.
  std::shared_ptr<const Plan> peek(const Key128& key);
  /// Why there is no plan for a graph, seen from the newest plan of the same operations.
  std::string why_new(const Structure& graph);
  void add(const Key128& key, std::shared_ptr<const Plan> plan);
  PlanCacheStats stats();
  void clear();

  // For a fork: nobody else may be in the middle of a change. `forget` is called in between, in the child.
  void lock() { mutex_.lock(); }
  void unlock() { mutex_.unlock(); }
  void forget(const Key128& key);

 private:
  struct Entry {
    std::shared_ptr<const Plan> plan;
    std::list<Key128>::iterator place;
  };
  std::mutex mutex_;
  std::list<Key128> order_;  // most recently used first
  std::unordered_map<Key128, Entry> plans_;
  std::unordered_map<Key128, Key128> newest_;  // by operations; what has left the cache may be named
  PlanCacheStats stats_;
};

/// The key of the plan that has each operation by itself.
Key128 without_fusion(const Key128& key);
/// The plan for the graph: that with its key, or a new one (make_plan).
std::shared_ptr<const Plan> plan_for(const Graph& graph, bool fuse = true);

/// The process's. It is never destroyed: threads may evaluate while the process ends.
PlanCache& plan_cache();

}  // namespace plait::engine
