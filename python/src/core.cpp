#include <nanobind/nanobind.h>

#include "plait/library.h"

NB_MODULE(core, m) { m.attr("__version__") = plait::version(); }
