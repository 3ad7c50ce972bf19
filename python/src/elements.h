// Reading elements of evaluated arrays from Python's side.
#pragma once

#include <nanobind/nanobind.h>

#include "graph/node.h"

namespace plait::python {

/// One element as a Python number: bool, int, float or complex.
PyObject* element(DType dtype, const char* at);
/// The only element. Errors: ValueError (ShapeError) naming `what` unless the size is 1.
PyObject* single_element(const char* what, const Array& a);
/// Nested lists of all elements, or the number of a 0-d array.
PyObject* nested_list(const Array& a);
/// Elements in row-major order.
PyObject* element_bytes(const Array& a);

}  // namespace plait::python
