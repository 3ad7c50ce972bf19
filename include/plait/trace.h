#pragma once

#include <cstdint>
#include <map>
#include <string>

#include "plait/export.h"

namespace plait {

// What plait did, and when. Any thread may call any of these.

/// Begins to record; what was recorded before and not fetched is dropped.
PLAIT_API void trace_start();

/// Ends recording and returns the events of all threads as JSON in the trace-event format, for Perfetto or
/// chrome://tracing. Times are microseconds since `trace_start`. Events of category "step" are executed regions and kernels.
PLAIT_API std::string trace_stop();

/// How often named things happened since the process started, tracing or not.
PLAIT_API std::map<std::string, int64_t> trace_counters();

}  // namespace plait
