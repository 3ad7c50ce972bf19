// Reading memory of other libraries: the buffer protocol and DLPack.
#pragma once

#include <nanobind/nanobind.h>

#include <optional>

#include "array.h"

namespace plait::python {

/// Whether the object gives its memory out through the buffer protocol or DLPack.
bool has_buffer(PyObject* o);
/// A copy of the object's elements in `dtype`, else in their own (64-bit floats and complex numbers become 32-bit).
/// Errors: ValueError for element types that plait has not.
Array from_buffer(nb::handle o, std::optional<DType> dtype);
/// An array over the memory that the object gives out through the buffer protocol; it is kept alive as long as the array, which
/// nobody writes to if it is read-only. Errors: as from_buffer; ValueError where a copy would be needed.
Array shared_buffer(nb::handle o);
/// An array over the memory of a DLPack producer; it is kept alive as long as the array. `copy` true copies, false
/// raises ValueError where a copy would be needed.
Array from_dlpack(nb::handle o, std::optional<bool> copy);

}  // namespace plait::python
