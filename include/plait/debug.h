#pragma once

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

}  // namespace plait::debug
