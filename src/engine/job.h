#pragma once

#include <pthread.h>

#include <memory>
#include <span>
#include <vector>

#include "base/function_ref.h"
#include "engine/event.h"
#include "engine/graph.h"
#include "engine/plan.h"
#include "plait/array.h"
#include "plait/debug.h"

namespace plait::engine {

/// One evaluation between claiming its nodes and giving them back. Jobs are listed from `claim` to the end of `run`, so
/// that a forked child can give back what threads it does not have were computing.
struct Job {
  std::vector<Array> roots;
  Graph graph;
  std::shared_ptr<Event> event = std::make_shared<Event>();
  std::shared_ptr<const Plan> plan;
  std::vector<Node*> consumed;  // leaves whose memory was taken over
  debug::NanCheck check;  // as the thread wanted that claimed it
  Watch* watch = nullptr;  // who looks on instead of the check
  bool running = false;  // or about to be; this and what follows: under the graph lock
  pthread_t runner = {};
  const void* queue = nullptr;  // jobs of one queue run in the order of their claims
  Job* before = nullptr;
  Job* after = nullptr;
};

/// Claims what the arrays still need, for the calling thread to run; null when nothing does. Errors: TransformError for a
/// traced array, and what an evaluation before lost an input to.
std::shared_ptr<Job> claim(std::span<const Array> arrays);

/// The same for another thread: `hand_over` gets the job with the graph lock held, so that jobs are handed over in the
/// order of claims. A job waits only for jobs claimed before it: queues in that order cannot wait for one another.
void claim(std::span<const Array> arrays, FunctionRef<void(const std::shared_ptr<Job>&)> hand_over);

/// Gives the nodes back without computing them.
void give_back(Job& job);

/// Computes it on the calling thread. False when an evaluation it waited for failed: its nodes are pending again, and
/// this job's too. Inside a signal handler that interrupts another run it computes on a thread of its own. Errors: what the
/// operations raise, with the user's line; DeviceError when it needs what the interrupted run computes, or what waits for
/// that; then, too, its nodes are pending again.
bool run(Job& job);

/// Waits for the end of another job. Errors: DeviceError in a signal handler that interrupts a run which the other waits for.
void wait_for(Event& event);

/// In a forked child, with the locks of the graph and the plan cache held: the jobs of threads that are gone give their nodes back.
void abandon_jobs_of_others();

}  // namespace plait::engine
