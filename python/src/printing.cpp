// Options of how arrays are printed.
#include "bind.h"
#include "plait/print.h"

namespace plait::python {
namespace {

struct PrintOptionsContext {
  PrintOptions inside;
  std::vector<PrintOptions> before;
};

}  // namespace

void bind_printing(nb::module_& m) {
  nb::class_<PrintOptions>(m, "PrintOptions", "How arrays are printed.")
      .def(
          "__init__", [](PrintOptions* self, int precision) { new (self) PrintOptions{precision}; },
          nb::arg("precision") = -1, nb::sig("def __init__(self, precision: int = -1) -> None"))
      .def_rw("precision", &PrintOptions::precision);
  nb::class_<PrintOptionsContext>(m, "_PrintOptionsContext")
      .def("__enter__",
           [](PrintOptionsContext& c) {
             c.before.push_back(print_options());
             set_print_options(c.inside);
           })
      .def("__exit__", [](PrintOptionsContext& c, const nb::args&) {
        if (c.before.empty()) return;
        set_print_options(c.before.back());
        c.before.pop_back();
      });
  m.def("get_printoptions", print_options, nb::sig("def get_printoptions() -> PrintOptions"), "The options in force.");
  m.def(
      "set_printoptions", [](int precision) { set_print_options({precision}); }, nb::arg("precision") = -1,
      nb::sig("def set_printoptions(precision: int = -1) -> None"),
      "Sets digits after the point; -1 prints six significant digits, as short as they can be.\n\nErrors: TypeError for what is no "
      "int.");
  m.def(
      "printoptions", [](int precision) { return PrintOptionsContext{{precision}, {}}; }, nb::arg("precision") = -1,
      nb::sig("def printoptions(precision: int = -1) -> _PrintOptionsContext"),
      "A context manager: options in force within the block, as set_printoptions sets them.\n\nErrors: TypeError for "
      "what is no int.");
}

}  // namespace plait::python
