#pragma once

#include <pthread.h>

#include <memory>
#include <span>
#include <vector>

#include "engine/event.h"
#include "engine/graph.h"
#include "engine/plan.h"
#include "plait/array.h"

namespace plait::engine {

/// One evaluation between claiming its nodes and giving them back. Jobs are listed from `claim` to the end of `run`, so
/// that a forked child can give back what threads it does not have were computing.
struct Job {
  std::vector<Array> roots;
  Graph graph;
  std::shared_ptr<Event> event = std::make_shared<Event>();
  std::shared_ptr<const Plan> plan;
  std::vector<Node*> consumed;  // leaves whose memory was taken over
  bool running = false;  // or about to be; this and what follows: under the graph lock
  pthread_t runner = {};
  Job* before = nullptr;
  Job* after = nullptr;
};

/// Who runs a job.
enum class On { this_thread, worker };

/// Claims what the arrays still need; null when nothing does. Errors: TransformError for a traced array, and what an
/// evaluation before lost an input to.
std::shared_ptr<Job> claim(std::span<const Array> arrays, On on);

/// Computes it on the calling thread. False when an evaluation it waited for failed: its nodes are pending again, and
/// this job's too. Errors: what the operations raise, with the user's line; then, too, its nodes are pending again.
bool run(Job& job);

/// In a forked child, with the graph lock held: the jobs of threads that are gone give their nodes back.
void abandon_jobs_of_others();

}  // namespace plait::engine
