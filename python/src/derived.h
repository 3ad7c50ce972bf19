// What transforms of functions return.
#pragma once

#include <nanobind/nanobind.h>

#include <functional>

namespace plait::python {

/// A function beside the one it was made from, which the collector sees. Bound by bind_transforms.
struct DerivedFunction {
  nanobind::object function;
  std::function<nanobind::object(const nanobind::object&, nanobind::args, nanobind::kwargs)> call;
};

}  // namespace plait::python
