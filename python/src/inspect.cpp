// Taking laziness apart, for plait.debug.
#include "bind.h"
#include "plait/debug.h"

namespace plait::python {

void bind_inspection(nb::module_& m) {
  m.def(
      "set_eager", debug::set_eager, nb::arg("on"), nb::sig("def set_eager(on: bool) -> bool"),
      "Whether this thread evaluates each operation when it is made; returns what was set before. plait.debug.eager is a\n"
      "block with it.");
}

}  // namespace plait::python
