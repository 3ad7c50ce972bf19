#include "engine/plan_cache.h"

#include <utility>

#include "base/trace.h"

namespace plait::engine {

std::shared_ptr<const Plan> PlanCache::find(const Key128& key) {
  const std::lock_guard lock(mutex_);
  const auto it = plans_.find(key);
  if (it == plans_.end()) return nullptr;
  order_.splice(order_.begin(), order_, it->second.place);
  ++stats_.hits;
  static trace::Counter hits("plan_hits");
  hits.add();
  return it->second.plan;
}

std::shared_ptr<const Plan> PlanCache::peek(const Key128& key) {
  const std::lock_guard lock(mutex_);
  const auto it = plans_.find(key);
  return it == plans_.end() ? nullptr : it->second.plan;
}

std::string PlanCache::why_new(const Structure& graph) {
  const std::lock_guard lock(mutex_);
  const auto known = newest_.find(graph.operations);
  if (known == newest_.end()) return "a structure not seen before";
  const auto it = plans_.find(known->second);
  const char* what = it == plans_.end() ? "" : difference(graph, it->second.plan->structure);
  return *what ? what : "its plan had left the cache";
}

void PlanCache::add(const Key128& key, std::shared_ptr<const Plan> plan) {
  const std::lock_guard lock(mutex_);
  ++stats_.built;
  static trace::Counter built("plans_built");
  built.add();
  if (plans_.contains(key)) return;  // another thread planned the same meanwhile
  order_.push_front(key);
  try {
    if (newest_.size() >= 2 * kMaxPlans) newest_.clear();
    newest_[plan->structure.operations] = key;
    plans_[key] = {std::move(plan), order_.begin()};
  } catch (...) {
    order_.pop_front();
    throw;
  }
  while (plans_.size() > kMaxPlans) {
    plans_.erase(order_.back());
    order_.pop_back();
  }
  stats_.held = static_cast<int64_t>(plans_.size());
}

void PlanCache::forget(const Key128& key) {
  const auto it = plans_.find(key);
  if (it == plans_.end()) return;
  order_.erase(it->second.place);
  plans_.erase(it);
  stats_.held = static_cast<int64_t>(plans_.size());
}

PlanCacheStats PlanCache::stats() {
  const std::lock_guard lock(mutex_);
  return stats_;
}

void PlanCache::clear() {
  const std::lock_guard lock(mutex_);
  plans_.clear();
  newest_.clear();
  order_.clear();
  stats_.held = 0;
}

PlanCache& plan_cache() {
  static auto* cache = new PlanCache;
  return *cache;
}

Key128 without_fusion(const Key128& key) { return Hasher().add(key).add("not fused").key(); }

std::shared_ptr<const Plan> plan_for(const Graph& graph, bool fuse) {
  std::shared_ptr<const Plan> plan = plan_cache().find(graph.key);
  if (plan) return plan;
  const trace::Span span("plan", "plan", "nodes", static_cast<int64_t>(graph.nodes.size()));
  plan = make_plan(graph, fuse);
  trace::reason("planned", plan_cache().why_new(plan->structure));
  plan_cache().add(graph.key, plan);
  return plan;
}

}  // namespace plait::engine
