// Plans of a library's calls by what they depend on; the oldest goes when there are too many.
#pragma once

#include <deque>
#include <map>
#include <memory>
#include <mutex>

namespace plait::cuda {

/// Threads: any. A plan that went out of the cache lives as long as someone holds it.
template <class Key, class Plan, size_t kMost = 1024>
class PlanCache {
 public:
  /// The plan of `key`, else what make() returns, built without the lock held.
  template <class Make>
  std::shared_ptr<const Plan> get(const Key& key, Make make) {
    {
      const std::lock_guard lock(mutex_);
      if (const auto it = plans_.find(key); it != plans_.end()) return it->second;
    }
    std::shared_ptr<const Plan> made = make();
    const std::lock_guard lock(mutex_);
    const auto [it, added] = plans_.emplace(key, std::move(made));
    if (added) order_.push_back(key);
    std::shared_ptr<const Plan> plan = it->second;
    if (order_.size() > kMost) {
      plans_.erase(order_.front());
      order_.pop_front();
    }
    return plan;
  }

 private:
  std::mutex mutex_;
  std::map<Key, std::shared_ptr<const Plan>> plans_;
  std::deque<Key> order_;
};

}  // namespace plait::cuda
