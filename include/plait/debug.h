#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "plait/array.h"
#include "plait/export.h"

/// Taking laziness apart: what is done while a fault is looked for. None of it changes a result.
namespace plait::debug {

/// Whether this thread evaluates each operation when it is made: set for the thread, or for the process by PLAIT_EAGER=1.
/// Operations on traced values that are not known yet (inside vmap, and whatever records a program) stay in the graph;
/// functions given to compile run as they are.
PLAIT_API bool eager();
/// For the calling thread; returns what was set before. The process's switch stays.
PLAIT_API bool set_eager(bool on);

/// What evaluations look for in their results.
struct NanCheck {
  bool nan = false;
  bool inf = false;  // infinities too
  bool deep =
      false;  // in every operation's result, also in those that fusion keeps out of memory; nothing is fused then
  bool on() const { return nan || inf; }
};

/// What evaluations that this thread asks for look for: what was set for the thread, or for the process by
/// PLAIT_CHECK_NAN=1, "inf" or "deep". The first operation whose result has such an element raises NanError.
PLAIT_API NanCheck nan_check();
/// For the calling thread; returns what was set before. The process's switch stays.
PLAIT_API NanCheck set_nan_check(NanCheck check);

/// Whether positions outside of an axis are looked for where a device finds them late, on GPUs; PLAIT_CHECK_POSITIONS=0 is off
/// from the start. Off, what is read there is zero and what is written there is left out. The CPU always raises.
PLAIT_API bool position_check();
/// For the process; returns what was set before.
PLAIT_API bool set_position_check(bool on);

/// One step of a plan: a region (operations fused into one pass over memory), a kernel or a view.
struct PlannedStep {
  std::string kind;
  std::vector<std::string> operations;  // in order
  Shape shape;  // of the first result
  DType dtype = DType::float32;
  int results = 1;  // that are put in memory
  std::string device;  // "cpu", "gpu:0"
  uint32_t stream = 0;  // of the device
  std::string how;  // "interpreted", "assembled", ...: what runs it now
  int64_t bytes_read = 0;  // elements of operands, each counted once
  int64_t bytes_written = 0;
  int64_t bytes_allocated = 0;
  int64_t bytes_held = 0;  // by results of this plan, and for the step alone, while it runs
  std::vector<std::string> notes;  // memory that is taken over, copies, what runs elsewhere
  struct Transfer {
    std::string from, to;
    int64_t bytes = 0;
  };
  std::vector<Transfer> transfers;
  std::vector<std::string> lines;  // that made the operations, each once
  int64_t duration_ns = -1;  // where it was run
};

/// What evaluating arrays does, or did.
struct Explanation {
  std::vector<PlannedStep> steps;
  int64_t operations = 0;  // pending ones
  int64_t peak_bytes = 0;  // of what the plan allocates
  int64_t result_bytes = 0;  // of that, held afterwards
  std::string plan;  // "in the cache", or why it is new
  bool analyzed = false;
};

/// The plan for evaluating the arrays. Nothing is computed, kept or counted; `analyze` evaluates them, with a pause behind each
/// step, to see what each takes. `kept`: arrays that the caller holds only meanwhile, so that they count as free to be
/// overwritten. Errors: as evaluation.
PLAIT_API Explanation explain(std::span<const Array> arrays, bool analyze = false, std::span<const Array> kept = {});
/// A table, and totals below it.
PLAIT_API std::string to_string(const Explanation& explanation);

}  // namespace plait::debug
