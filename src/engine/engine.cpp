#include "engine/engine.h"

#include <algorithm>
#include <deque>
#include <list>
#include <memory>
#include <thread>
#include <unordered_map>

#include "base/trace.h"
#include "engine/event.h"
#include "engine/graph.h"
#include "engine/plan.h"
#include "graph/op.h"
#include "graph/registry.h"
#include "graph/stream.h"
#include "plait/array.h"

namespace plait {
void register_all_ops(OpRegistry& ops);  // generated from the list of op files
}

namespace plait::engine {
namespace {

class PlanCache {
 public:
  std::shared_ptr<const Plan> find(const Key128& key) {
    const std::lock_guard lock(mutex_);
    const auto it = plans_.find(key);
    if (it == plans_.end()) return nullptr;
    order_.splice(order_.begin(), order_, it->second.place);
    ++stats_.hits;
    static trace::Counter hits("plan_hits");
    hits.add();
    return it->second.plan;
  }

  void add(const Key128& key, std::shared_ptr<const Plan> plan) {
    const std::lock_guard lock(mutex_);
    ++stats_.built;
    static trace::Counter built("plans_built");
    built.add();
    if (plans_.contains(key)) return;  // another thread planned the same meanwhile
    order_.push_front(key);
    plans_[key] = {std::move(plan), order_.begin()};
    while (plans_.size() > kMaxPlans) {
      plans_.erase(order_.back());
      order_.pop_back();
    }
    stats_.held = static_cast<int64_t>(plans_.size());
  }

  PlanCacheStats stats() {
    const std::lock_guard lock(mutex_);
    return stats_;
  }

  void clear() {
    const std::lock_guard lock(mutex_);
    plans_.clear();
    order_.clear();
    stats_.held = 0;
  }

 private:
  struct Entry {
    std::shared_ptr<const Plan> plan;
    std::list<Key128>::iterator place;
  };
  std::mutex mutex_;
  std::list<Key128> order_;  // most recently used first
  std::unordered_map<Key128, Entry> plans_;
  PlanCacheStats stats_;
};

PlanCache& plan_cache() {
  static auto* cache = new PlanCache;
  return *cache;
}

/// One evaluation between claiming its nodes and giving them back.
struct Job {
  std::vector<Array> roots;
  Graph graph;
  std::shared_ptr<Event> event = std::make_shared<Event>();
};

std::shared_ptr<Job> claim(std::span<const Array> arrays) {
  auto job = std::make_shared<Job>();
  for (const Array& a : arrays)
    if (a.defined() && !a.node()->done()) job->roots.push_back(a);
  if (job->roots.empty()) return nullptr;
  const std::lock_guard lock(graph_mutex());
  job->graph = collect(job->roots, job->event);
  return job;
}

// Gives results to the needed nodes and everything else back to the pool of pending work.
void finish(Job& job, std::vector<Storage>* results, std::span<Node* const> consumed, const std::exception_ptr& error) {
  std::vector<Array> dropped;  // destroyed after the lock is released
  std::shared_ptr<void> none;
  {
    const std::lock_guard lock(graph_mutex());
    const bool traced = any_trace_open();
    Graph& g = job.graph;
    for (size_t i = 0; i < g.nodes.size(); ++i) {
      Node* node = g.nodes[i];
      node->event.reset();
      if (results == nullptr || !g.needed[i]) {
        node->state.store(Node::State::pending, std::memory_order_relaxed);
        continue;
      }
      for (size_t k = 0; k < node->avals.size(); ++k)
        node->storages.push_back(std::move((*results)[g.first_value[i] + k]));
      node->settle_pending();
      node->state.store(Node::State::done, std::memory_order_release);
      if (traced && node->level != 0) continue;  // an open gradient may still walk through it
      for (Array& in : node->inputs) dropped.push_back(std::move(in));
      node->inputs.clear();
    }
    for (Node* leaf : consumed) {
      leaf->storages.clear();
      if (results == nullptr) {
        leaf->lost = error;
        leaf->state.store(Node::State::pending, std::memory_order_release);
      }
    }
  }
  job.event->set();
}

/// False when an evaluation it waited for failed: its nodes are pending again, and this job's too.
bool run(Job& job) {
  std::vector<Storage> results;
  std::vector<Node*> consumed;
  try {
    for (const auto& event : job.graph.waits) event->wait();
    for (const auto& value : job.graph.values)
      if (value.leaf && !value.node->done()) {
        finish(job, nullptr, consumed, nullptr);
        return false;
      }
    std::shared_ptr<const Plan> plan = plan_cache().find(job.graph.key);
    if (!plan) {
      const trace::Span span("plan", "plan", "nodes", static_cast<int64_t>(job.graph.nodes.size()));
      trace::reason("planned", "a structure not seen before");
      plan = make_plan(job.graph);
      plan_cache().add(job.graph.key, plan);
    }
    run_plan(*plan, job.graph, results, consumed);
  } catch (...) {
    finish(job, nullptr, consumed, std::current_exception());
    throw;
  }
  finish(job, &results, consumed, nullptr);
  return true;
}

// Runs the work of async_eval in order, one thread for each stream that is used.
class Worker {
 public:
  void submit(std::shared_ptr<Job> job) {
    const std::lock_guard lock(mutex_);
    if (!started_) {
      std::thread([this] { loop(); }).detach();
      started_ = true;
    }
    jobs_.push_back(std::move(job));
    changed_.notify_one();
  }

  std::shared_ptr<Event> last() {
    const std::lock_guard lock(mutex_);
    return !jobs_.empty() ? jobs_.back()->event : running_ ? running_->event : nullptr;
  }

 private:
  [[noreturn]] void loop() {
    for (;;) {
      std::shared_ptr<Job> job;
      {
        std::unique_lock lock(mutex_);
        running_.reset();
        changed_.wait(lock, [&] { return !jobs_.empty(); });
        job = std::move(jobs_.front());
        jobs_.pop_front();
        running_ = job;
      }
      try {
        run(*job);
      } catch (...) {
        // The nodes are pending again: whoever asks for a result meets the same error with its line.
      }
    }
  }

  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<std::shared_ptr<Job>> jobs_;
  std::shared_ptr<Job> running_;
  bool started_ = false;
};

Worker& worker_of(uint32_t stream) {
  static std::mutex mutex;
  static auto* workers = new std::unordered_map<uint32_t, std::unique_ptr<Worker>>;
  const std::lock_guard lock(mutex);
  auto& worker = (*workers)[stream];
  if (!worker) worker = std::make_unique<Worker>();
  return *worker;
}

class Engine final : public Evaluator {
 public:
  void eval(std::span<const Array> arrays) override {
    static trace::Counter asked("evaluated: asked for");
    asked.add();
    // What another evaluation is computing is only waited for; if that one fails, the next round computes it here.
    while (const auto job = claim(arrays)) run(*job);
  }

  void async_eval(std::span<const Array> arrays) override {
    static trace::Counter ahead("evaluated: in the background");
    ahead.add();
    if (auto job = claim(arrays)) {
      const uint32_t stream = job->roots.front().node()->stream;
      worker_of(stream).submit(std::move(job));
    }
  }

  void eval_over_budget(const Array& newest) override {
    trace::reason("evaluated", "pending work passed its budget");
    eval(std::span(&newest, 1));
  }
};

void wait_for(Stream stream) {
  if (const auto event = worker_of(stream.index).last()) event->wait();
}

}  // namespace

PlanCacheStats plan_cache_stats() { return plan_cache().stats(); }
void clear_plan_cache() { plan_cache().clear(); }

void start() {
  static Engine* engine = new Engine;
  set_registry_source(register_all_ops);
  set_evaluator(engine);
  set_synchronize_hook(wait_for);
}

namespace {
// The library's start-up code: the only static initialiser.
struct Starter {
  Starter() { start(); }
} starter;
}  // namespace

}  // namespace plait::engine
