// Kernels that users write, in plait.core.fast.
#pragma once

#include <nanobind/nanobind.h>

namespace plait::python {

void bind_custom_kernels(nanobind::module_& fast);

}  // namespace plait::python
