// Taking laziness apart, for plait.debug.
#include "bind.h"
#include "plait/debug.h"

namespace plait::python {

namespace {

// As (nan, inf, deep).
nb::tuple set_nan_check(bool nan, bool inf, bool deep) {
  const debug::NanCheck before = debug::set_nan_check({.nan = nan, .inf = inf, .deep = deep});
  return nb::make_tuple(before.nan, before.inf, before.deep);
}

}  // namespace

void bind_inspection(nb::module_& m) {
  m.def(
      "set_nan_check", set_nan_check, nb::arg("nan"), nb::arg("inf"), nb::arg("deep"),
      nb::sig("def set_nan_check(nan: bool, inf: bool, deep: bool) -> tuple[bool, bool, bool]"),
      "What the evaluations that this thread asks for look for; returns what was set before. plait.debug.check_nan is a\n"
      "block with it.");
  m.def(
      "set_eager", debug::set_eager, nb::arg("on"), nb::sig("def set_eager(on: bool) -> bool"),
      "Whether this thread evaluates each operation when it is made; returns what was set before. plait.debug.eager is a\n"
      "block with it.");
}

}  // namespace plait::python
