#include "engine/job.h"

#include <algorithm>
#include <mutex>
#include <new>
#include <optional>
#include <system_error>
#include <thread>
#include <unordered_set>
#include <utility>

#include "base/trace.h"
#include "engine/nan_check.h"
#include "engine/plan_cache.h"
#include "graph/op.h"

namespace plait::engine {
namespace {

Job* newest_job = nullptr;  // under the graph lock

void enlist(Job& job) {
  job.before = newest_job;
  if (newest_job) newest_job->after = &job;
  newest_job = &job;
}

void take(Job& job) {
  job.running = true;
  job.runner = ::pthread_self();
}

void strike_off(Job& job) {
  (job.after ? job.after->before : newest_job) = job.before;
  if (job.before) job.before->after = job.after;
}

/// What is better destroyed without the graph lock: memory and arrays go back through locks of their own.
struct Dropped {
  std::vector<Array> inputs;
  std::vector<Storage> storages;
};

template <class T>
bool has_room_for(std::vector<T>& list, size_t count) noexcept {
  try {
    list.reserve(count);
    return true;
  } catch (const std::bad_alloc&) {
    return false;
  }
}

/// Needs the graph lock. Memory that the list has no room for goes back at once.
void lose(Node& leaf, const std::exception_ptr& error, Dropped& dropped) noexcept {
  for (Storage& s : leaf.storages)
    if (dropped.storages.size() < dropped.storages.capacity()) dropped.storages.push_back(std::move(s));
  leaf.storages.clear();
  if (error) {
    leaf.lost = error;
    leaf.state.store(Node::State::pending, std::memory_order_release);
  }
}

/// Gives results to the needed nodes (none when they are null), which have room for them, and everything else back to the
/// pool of pending work. It needs no memory: where there is none, nodes keep inputs that they have no need of.
void finish(Job& job, std::vector<Storage>* results, const std::exception_ptr& error) noexcept {
  Dropped dropped;  // declared first: destroyed after the lock is released
  const bool drops_inputs = results && has_room_for(dropped.inputs, job.graph.inputs.size());
  has_room_for(dropped.storages, job.consumed.size());
  {
    const std::lock_guard lock(graph_mutex());
    strike_off(job);
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
      if (!drops_inputs || (traced && node->level != 0)) continue;  // an open gradient may still walk through it
      for (Array& in : node->inputs) dropped.inputs.push_back(std::move(in));
      node->inputs.clear();
    }
    for (Node* leaf : job.consumed) lose(*leaf, results ? nullptr : error, dropped);
  }
  job.event->set();
}

constinit thread_local const Job* run_now = nullptr;  // by this thread

/// Whether the event comes only after the interrupted job: it is that one's, or of a job that waits for such a one, by
/// itself or behind another in its queue. Jobs wait only for those before them in the list.
bool comes_after(const Job& interrupted, const Event& event) {
  const std::lock_guard lock(graph_mutex());
  std::unordered_set<const void*> held{interrupted.event.get()};  // events and queues
  for (const Job* job = interrupted.after; job; job = job->after) {
    const auto& waits = job->graph.waits;
    const bool waiting = std::any_of(waits.begin(), waits.end(), [&](const auto& e) { return held.contains(e.get()); });
    if (!waiting && !(job->queue && held.contains(job->queue))) continue;
    held.insert(job->event.get());
    if (job->queue) held.insert(job->queue);
  }
  return held.contains(&event);
}

void wait(Event& event, const Job* interrupted, const char* op, SourceId source) {
  if (interrupted && comes_after(*interrupted, event))
    throw DeviceError(
        {.op = op,
         .got = "a signal handler asked for what the evaluation that it interrupted is computing, or for what "
                "waits for it",
         .accepts = "other values",
         .hint = "let the handler set a flag, and act on it between two steps",
         .where = describe_source(source)});
  event.wait();
}

/// Per value, whether the plan may overwrite it; all of them when there is no plan yet to ask.
std::vector<bool> overwritable(const Job& job) {
  std::vector<bool> marks(job.graph.values.size(), !job.plan);
  if (!job.plan) return marks;
  for (const Step& step : job.plan->steps) {
    if (step.kind == Step::Kind::region) {
      const RegionStep& region = job.plan->regions[step.region];
      for (const auto& donors : region.donors)
        for (const int donor : donors) marks[region.inputs[static_cast<size_t>(donor)].value] = true;
    } else if (step.kind == Step::Kind::kernel && step.kernel->output_aliases_input0) {
      marks[job.graph.inputs_of(step.node)[0]] = true;
    } else if (step.kind == Step::Kind::control) {
      for (const ValueId v : job.graph.inputs_of(step.node)) marks[v] = true;
    }
  }
  return marks;
}

bool run_and_finish(Job& job, const Job* interrupted) {
  if (!job.running) {
    const std::lock_guard lock(graph_mutex());
    take(job);
  }
  const struct Now {
    explicit Now(const Job& job) { run_now = &job; }
    ~Now() { run_now = nullptr; }
  } now(job);
  std::vector<Storage> results;
  try {
    for (const auto& event : job.graph.waits) wait(*event, interrupted, "eval", job.roots.front().node()->source);
    for (const auto& value : job.graph.values)
      if (value.leaf && !value.node->done()) {
        finish(job, nullptr, nullptr);
        return false;
      }
    if (!job.plan) job.plan = plan_for(job.graph, !job.check.deep);
    for (Node* node : job.graph.nodes) node->storages.reserve(node->avals.size());
    std::optional<NanWatch> nan;
    Watch* watch = job.watch;
    if (!watch && job.check.on()) watch = &nan.emplace(job.graph, *job.plan, job.check);
    run_plan(*job.plan, job.graph, results, job.consumed, {.watch = watch});
  } catch (...) {
    finish(job, nullptr, std::current_exception());
    throw;
  }
  finish(job, &results, nullptr);
  return true;
}

bool run_here(Job& job, const Job* interrupted) {
  try {
    return run_and_finish(job, interrupted);
  } catch (const NanFound& found) {
    found.raise();
  }
}

}  // namespace

void give_back(Job& job) { finish(job, nullptr, nullptr); }

std::shared_ptr<Job> claim(std::span<const Array> arrays) {
  std::shared_ptr<Job> job;
  claim(arrays, [&](const std::shared_ptr<Job>& claimed) {
    take(*claimed);
    job = claimed;
  });
  return job;
}

void claim(std::span<const Array> arrays, FunctionRef<void(const std::shared_ptr<Job>&)> hand_over) {
  auto job = std::make_shared<Job>();
  for (const Array& a : arrays)
    if (a.defined() && !a.node()->done()) job->roots.push_back(a);
  if (job->roots.empty()) return;
  job->check = debug::nan_check();
  SourceId culprit = 0;
  try {
    const std::lock_guard lock(graph_mutex());
    job->graph = collect(job->roots, job->event, culprit);
    if (job->check.deep) job->graph.key = without_fusion(job->graph.key);
    enlist(*job);
    hand_over(job);
  } catch (Error& e) {
    e.add_where(describe_source(culprit));  // may wait for Python, so not under the lock
    throw;
  }
}

bool run(Job& job) {
  if (!run_now) return run_here(job, nullptr);
  // A signal handler: what this thread keeps for its work (scratch memory, its place in the pool) is in use.
  bool done = false;
  std::exception_ptr error;
  try {
    std::thread([&, interrupted = run_now] {
      try {
        done = run_here(job, interrupted);
      } catch (...) {
        error = std::current_exception();
      }
    }).join();
  } catch (const std::system_error&) {  // no thread to be had
    finish(job, nullptr, nullptr);
    throw;
  }
  if (error) std::rethrow_exception(error);
  return done;
}

void wait_for(Event& event) { wait(event, run_now, "synchronize", 0); }

void abandon_jobs_of_others() {
  static const auto lost = std::make_exception_ptr(
      UserError({.op = "fork",
                 .got = "an array that another thread was overwriting when the process was forked",
                 .accepts = "arrays that no evaluation was using",
                 .hint = "synchronize() before forking, or start processes with the method spawn"}));
  auto* dropped = new Dropped;  // kept for ever: other rooms' locks are not to be relied on here
  for (Job* job = newest_job; job;) {
    Job* const before = job->before;
    if (!job->running || !::pthread_equal(job->runner, ::pthread_self())) {
      strike_off(*job);
      plan_cache().forget(job->graph.key);  // its code may be half assembled, by a thread that is gone
      for (Node* node : job->graph.nodes) {
        node->event.reset();
        node->state.store(Node::State::pending, std::memory_order_relaxed);
      }
      // Which leaves were taken over is not known: pages of the child are not of one instant. Those that might be count.
      const std::vector<bool> risk = job->running ? overwritable(*job) : std::vector<bool>(job->graph.values.size());
      for (size_t v = 0; v < risk.size(); ++v) {
        const Graph::Value& value = job->graph.values[v];
        if (risk[v] && value.leaf && value.node->done() && value.node->use_count() == value.uses) {
          has_room_for(dropped->storages, dropped->storages.size() + value.node->storages.size());
          lose(*value.node, lost, *dropped);
        }
      }
    }
    job = before;
  }
}

}  // namespace plait::engine
