// Recording what plait does, for plait.profile.
#include <nanobind/stl/map.h>

#include "bind.h"
#include "plait/trace.h"

namespace plait::python {
namespace {

nb::object stop_tracing() {
  const std::string events = trace_stop();
  return nb::module_::import_("json").attr("loads")(nb::cast(events));
}

}  // namespace

void bind_tracing(nb::module_& m) {
  m.def("trace_start", trace_start, nb::sig("def trace_start() -> None"),
        "Begins to record what plait does on all threads; what was recorded before and not fetched is dropped.");
  m.def(
      "trace_stop", stop_tracing, nb::sig("def trace_stop() -> dict[str, Any]"),
      "Ends recording and returns the events in the trace-event format, times in microseconds since `trace_start`.\n\n"
      "Events of category \"step\" are executed regions and kernels: their name is their operations, and the argument\n"
      "`where` the line that asked for them. plait.profile makes tables of them.");
  m.def("trace_counters", trace_counters, nb::sig("def trace_counters() -> dict[str, int]"),
        "How often named things happened since the process started, recording or not.");
}

}  // namespace plait::python
