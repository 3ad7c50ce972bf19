#include "engine/engine.h"

#include <atomic>
#include <condition_variable>
#include <deque>
#include <exception>
#include <memory>
#include <mutex>
#include <thread>
#include <unordered_map>
#include <vector>

#include "base/fork.h"
#include "base/trace.h"
#include "engine/devices.h"
#include "engine/job.h"
#include "engine/plan_cache.h"
#include "graph/registry.h"
#include "graph/stream.h"
#include "memory/residency.h"
#include "plait/array.h"

namespace plait {
void register_all_ops(OpRegistry& ops);  // generated from the list of op files
}

namespace plait::engine {
namespace {

constinit std::atomic<bool> ending{false};

// Runs the work of async_eval in order, one thread for each stream that is used.
class Worker {
 public:
  /// False when there is no thread or no memory to be had.
  bool submit(const std::shared_ptr<Job>& job) {
    const std::lock_guard lock(mutex_);
    try {
      if (!started_) std::thread([this] { loop(); }).detach();
      started_ = true;
      jobs_.push_back(job);
    } catch (const std::exception&) {
      return false;
    }
    changed_.notify_one();
    return true;
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
        changed_.wait(lock, [&] { return !jobs_.empty(); });
        job = std::move(jobs_.front());
        jobs_.pop_front();
        running_ = job;
      }
      try {
        if (ending.load())
          give_back(*job);
        else
          run(*job);
      } catch (...) {
        // The nodes are pending again: whoever asks for a result meets the same error with its line.
      }
      const std::lock_guard lock(mutex_);
      running_.reset();  // `job` still holds it: arrays are not dropped under the lock
    }
  }

  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<std::shared_ptr<Job>> jobs_;
  std::shared_ptr<Job> running_;
  bool started_ = false;
};

std::mutex workers_mutex;
using Workers = std::unordered_map<uint32_t, std::unique_ptr<Worker>>;
auto* workers = new Workers;

Worker& worker_of(uint32_t stream) {
  const std::lock_guard lock(workers_mutex);
  auto& worker = (*workers)[stream];
  if (!worker) worker = std::make_unique<Worker>();
  return *worker;
}

/// Null where there is no memory for another.
Worker* worker_if_memory(uint32_t stream) noexcept {
  try {
    return &worker_of(stream);
  } catch (const std::bad_alloc&) {
    return nullptr;
  }
}

void lock_for_fork() {
  graph_mutex().lock();
  workers_mutex.lock();
  plan_cache().lock();
}
void unlock_in_parent() {
  plan_cache().unlock();
  workers_mutex.unlock();
  graph_mutex().unlock();
}
void restart_in_child() {
  abandon_jobs_of_others();
  workers = new Workers;  // the old ones may be locked and their threads are gone; what they hold is pending again
  unlock_in_parent();
}

class Engine final : public Evaluator {
 public:
  void eval(std::span<const Array> arrays) override {
    static trace::Counter asked("evaluated: asked for");
    asked.add();
    // What another evaluation is computing is only waited for; if that one fails, the next round computes it here.
    while (const auto job = claim(arrays)) run(*job);
    for (const Array& a : arrays)  // devices may still be at work
      if (a.defined())
        for (const Storage& s : a.node()->storages) memory::Residency::finish(*s.buffer);
  }

  void async_eval(std::span<const Array> arrays) override {
    static trace::Counter ahead("evaluated: in the background");
    ahead.add();
    std::shared_ptr<Job> left;  // for want of a thread
    try {
      claim(arrays, [&](const std::shared_ptr<Job>& job) {
        Worker* worker = worker_if_memory(job->roots.front().node()->stream);
        if (worker && worker->submit(job))
          job->queue = worker;
        else
          left = job;
      });
    } catch (const TransformError&) {
      throw;
    } catch (...) {
      return;  // what a failure before left behind: whoever asks for the result meets it
    }
    if (left) run(*left);
  }

  void eval_over_budget(const Array& newest) override {
    trace::reason("evaluated", "pending work passed its budget");
    eval(std::span(&newest, 1));
  }
};

void wait_for(Stream stream) {
  if (const auto event = worker_of(stream.index).last()) wait_for(*event);
  finish(stream);
}

}  // namespace

void end_background_work() {
  ending.store(true);
  std::vector<Worker*> all;
  {
    const std::lock_guard lock(workers_mutex);
    for (const auto& [stream, worker] : *workers) all.push_back(worker.get());
  }
  for (Worker* worker : all)
    while (const auto event = worker->last()) event->wait();
}

PlanCacheStats plan_cache_stats() { return plan_cache().stats(); }
void clear_plan_cache() { plan_cache().clear(); }

void start() {
  static Engine* engine = new Engine;
  set_registry_source(register_all_ops);
  set_evaluator(engine);
  set_synchronize_hook(wait_for);
  start_devices();
  at_fork(ForkOrder::engine, lock_for_fork, unlock_in_parent, restart_in_child);
}

namespace {
// The library's start-up code: the only static initialiser.
struct Starter {
  Starter() { start(); }
} starter;
}  // namespace

}  // namespace plait::engine
