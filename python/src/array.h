// The Python object `array`: a slot that holds a plait::Array. In-place operations put another value into the slot.
#pragma once

#include <nanobind/nanobind.h>

#include <utility>

#include "plait/array.h"

namespace nb = nanobind;

namespace plait::python {

/// Read and written under the GIL only, so putting another value in is atomic; whoever lets the GIL go works on a copy.
struct ArrayObject {
  PyObject_HEAD
  Array value;
};

extern PyTypeObject* array_type_object;
inline PyTypeObject* array_type() { return array_type_object; }

inline bool is_array(PyObject* o) {
  return Py_TYPE(o) == array_type_object || PyType_IsSubtype(Py_TYPE(o), array_type_object);
}

/// The slot's value. Errors: ValueError for an object whose __init__ never ran.
inline const Array& value_of(PyObject* o) {
  const Array& value = reinterpret_cast<ArrayObject*>(o)->value;
  if (!value.defined()) [[unlikely]]
    throw nb::value_error("array: used before it was initialised");
  return value;
}

/// Puts a value into the slot. The old one is dropped last: its end may run other Python code.
inline void rebind(PyObject* o, Array value) { std::swap(reinterpret_cast<ArrayObject*>(o)->value, value); }

/// A new object of exactly `array`, or null with MemoryError set.
PyObject* wrap(Array value) noexcept;

/// `array(source, dtype)`. `source` may be a scalar, nested lists and tuples, an array, or anything with a buffer,
/// DLPack or __plait_array__ / __mlx_array__.
Array make_array(nb::handle source, nb::handle dtype);

/// Numbers, comparisons, mapping, buffer: filled in by the files that implement them.
void add_number_slots(PyType_Slot*& at);
void add_index_slots(PyType_Slot*& at);
void add_sharing_slots(PyType_Slot*& at);
/// Gives a + b, a[i] and the like functions under their names, once the type has its slots.
void describe_operators();

/// Runs `f`, turning C++ exceptions into Python ones; for functions that CPython calls directly.
void set_python_error() noexcept;
template <class F>
auto guarded(F&& f, decltype(f()) failed) noexcept -> decltype(f()) {
  try {
    return f();
  } catch (...) {
    set_python_error();
    return failed;
  }
}

}  // namespace plait::python

namespace nanobind::detail {

template <>
struct type_caster<plait::Array> {
  NB_TYPE_CASTER(plait::Array, const_name("array"))

  bool from_python(handle src, uint32_t, cleanup_list*) noexcept {
    if (!plait::python::is_array(src.ptr())) return false;
    value = reinterpret_cast<plait::python::ArrayObject*>(src.ptr())->value;
    return value.defined();
  }
  static handle from_cpp(const plait::Array& a, rv_policy, cleanup_list*) noexcept { return plait::python::wrap(a); }
  static handle from_cpp(plait::Array&& a, rv_policy, cleanup_list*) noexcept {
    return plait::python::wrap(std::move(a));
  }
};

}  // namespace nanobind::detail
