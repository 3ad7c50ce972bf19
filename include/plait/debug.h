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

}  // namespace plait::debug
