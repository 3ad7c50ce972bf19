// a[...], a[...] = value, a.at[...], len and iteration.
#include <vector>

#include "bind.h"
#include "ops/indexing.h"
#include "plait/ops.h"

namespace plait::python {
namespace {

[[noreturn]] void throw_bad_index(nb::handle o) {
  throw IndexError({.op = "indexing",
                    .got = "an index of type " + std::string(Py_TYPE(o.ptr())->tp_name),
                    .accepts = "integers, slices, ..., None, arrays of integers, or a tuple of these"});
}

std::optional<int64_t> slice_bound(PyObject* o) {
  if (o == Py_None) return std::nullopt;
  int64_t value = 0;
  if (is_array(o) || !load_int(o, value))
    throw IndexError({.op = "indexing",
                      .got = "a slice with a bound of type " + std::string(Py_TYPE(o)->tp_name),
                      .accepts = "integers and None",
                      .hint = "plait.core.slice takes start positions from an array"});
  return value;
}

Index to_index(PyObject* o) {
  if (PyBool_Check(o)) return Index::array(Array(Scalar(o == Py_True)));
  if (PyLong_Check(o)) {
    int64_t at = 0;
    load_int(o, at);
    return Index::integer(at);
  }
  if (PySlice_Check(o)) {
    const auto* s = reinterpret_cast<PySliceObject*>(o);
    return Index::slice(slice_bound(s->start), slice_bound(s->stop), slice_bound(s->step).value_or(1));
  }
  if (o == Py_None) return Index::new_axis();
  if (o == Py_Ellipsis) return Index::ellipsis();
  if (is_array(o)) return Index::array(value_of(o));
  if (PyList_Check(o)) return Index::array(make_array(o, nb::handle()));
  int64_t at = 0;
  if (!PyObject_CheckBuffer(o) || PyObject_HasAttrString(o, "__index__")) {
    if (load_int(o, at)) return Index::integer(at);
  }
  if (PyObject_CheckBuffer(o) && !PyBytes_Check(o)) return Index::array(make_array(o, nb::handle()));
  throw_bad_index(o);
}

std::vector<Index> to_indices(PyObject* o) {
  std::vector<Index> out;
  if (PyTuple_Check(o)) {
    for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(o); ++i) out.push_back(to_index(PyTuple_GET_ITEM(o, i)));
  } else {
    out.push_back(to_index(o));
  }
  return out;
}

/// The value to be written, before it is converted to the array's dtype.
Array to_value(const Array& a, PyObject* o) {
  if (o == Py_None) throw nb::type_error("None is no value for an array's elements");
  OperandDType common;
  common.see(a);
  return common.convert(Operand(o));
}

PyObject* subscript(PyObject* self, PyObject* key) {
  return guarded([&] { return wrap(get_index(value_of(self), to_indices(key))); }, nullptr);
}

int assign_subscript(PyObject* self, PyObject* key, PyObject* value) {
  return guarded(
      [&] {
        if (!value) {
          PyErr_SetString(PyExc_AttributeError, "elements of an array cannot be deleted");
          return -1;
        }
        const std::vector<Index> indices = to_indices(key);
        const Array& a = value_of(self);
        rebind(self, set_index(a, indices, to_value(a, value)));
        return 0;
      },
      -1);
}

Py_ssize_t length(PyObject* self) {
  return guarded(
      [&]() -> Py_ssize_t {
        const Array& a = value_of(self);
        if (a.rank() == 0) throw nb::type_error("a 0-d array has no length");
        return a.shape()[0].fixed();
      },
      Py_ssize_t{-1});
}

/// Rows one after the other.
struct ArrayIterator {
  Array array;
  int64_t next = 0;
  int64_t count = 0;
};

PyObject* iterate(PyObject* self) {
  return guarded(
      [&]() -> PyObject* {
        const Array& a = value_of(self);
        if (a.rank() == 0) throw nb::type_error("a 0-d array cannot be iterated over");
        return nb::cast(ArrayIterator{a, 0, a.shape()[0].fixed()}).release().ptr();
      },
      nullptr);
}

/// a.at[...]: updates that combine with what is there, repeated positions included.
struct ArrayAt {
  Array array;
  std::vector<Index> indices;
  bool chosen = false;

  Array update(nb::handle value, ScatterMode mode) const {
    if (!chosen) throw ArgumentError({.op = "at", .got = "no index", .accepts = "an index, as in a.at[0].add(1)"});
    return update_index(array, indices, to_value(array, value.ptr()), mode);
  }
};

// The last index counts: a.at[0][1] is a.at[1].
ArrayAt chosen_at(const ArrayAt& at, nb::handle key) { return {at.array, to_indices(key.ptr()), true}; }

Array reciprocal_update(const ArrayAt& at, nb::handle value) {
  if (!at.chosen) return at.update(value, ScatterMode::multiply);
  const Array v = to_value(at.array, value.ptr());
  const DType dtype = at_least_float(promote(at.array.dtype(), v.dtype()));
  const Array wide = at.array.dtype() == dtype ? at.array : astype(at.array, dtype);
  const Array updated = update_index(wide, at.indices, reciprocal(astype(v, dtype)), ScatterMode::multiply);
  return at.array.dtype() == dtype ? updated : astype(updated, at.array.dtype());
}

PyObject* get_at(PyObject* self, void*) {
  return guarded([&] { return nb::cast(ArrayAt{value_of(self), {}, false}).release().ptr(); }, nullptr);
}

}  // namespace

void add_index_slots(PyType_Slot*& at) {
  const auto add = [&at](int slot, auto* function) { *at++ = {slot, reinterpret_cast<void*>(function)}; };
  add(Py_mp_subscript, subscript);
  add(Py_mp_ass_subscript, assign_subscript);
  add(Py_mp_length, length);
  add(Py_tp_iter, iterate);
}

void bind_array_indexing(nb::module_& m) {
  nb::class_<ArrayIterator>(m, "ArrayIterator", "Rows of an array, one after the other.")
      .def(
          "__iter__", [](nb::handle self) { return nb::borrow(self); }, nb::sig("def __iter__(self) -> ArrayIterator"))
      .def(
          "__next__",
          [](ArrayIterator& it) {
            if (it.next == it.count) throw nb::stop_iteration();
            const Index row = Index::integer(it.next++);
            return get_index(it.array, std::span(&row, 1));
          },
          nb::sig("def __next__(self) -> array"));
  auto at = nb::class_<ArrayAt>(m, "ArrayAt",
                                "What a.at is: a.at[index].add(value) gives a copy of a with the selection updated.");
  at.def("__getitem__", chosen_at, nb::arg("indices").none(),
         nb::sig("def __getitem__(self, indices: object | None) -> ArrayAt"));
  const auto update = [&at](const char* name, ScatterMode mode, const char* doc) {
    const std::string sig = std::string("def ") + name + "(self, value: scalar | array) -> array";
    at.def(
        name, [mode](const ArrayAt& self, nb::handle value) { return self.update(value, mode); }, nb::arg("value"),
        nb::sig(sig.c_str()), doc);
  };
  update("add", ScatterMode::add, "Adds the value; positions that repeat are added to repeatedly.");
  update("multiply", ScatterMode::multiply, "Multiplies by the value, repeatedly where positions repeat.");
  update("maximum", ScatterMode::maximum, "The greater of each element and its values.");
  update("minimum", ScatterMode::minimum, "The lesser of each element and its values.");
  at.def(
      "subtract",
      [](const ArrayAt& self, nb::handle value) {
        if (!self.chosen) return self.update(value, ScatterMode::add);
        return update_index(self.array, self.indices, negative(to_value(self.array, value.ptr())), ScatterMode::add);
      },
      nb::arg("value"), nb::sig("def subtract(self, value: scalar | array) -> array"),
      "Subtracts the value, repeatedly where positions repeat.");
  at.def("divide", reciprocal_update, nb::arg("value"), nb::sig("def divide(self, value: scalar | array) -> array"),
         "Divides by the value, repeatedly where positions repeat.");
  static PyGetSetDef property[] = {{"at", get_at, nullptr, "Updates by index: a.at[0].add(1).", nullptr}, {}};
  nb::object descriptor = nb::steal(PyDescr_NewGetSet(array_type(), property));
  if (PyDict_SetItemString(array_type()->tp_dict, "at", descriptor.ptr()) != 0) throw nb::python_error();
  PyType_Modified(array_type());
}

}  // namespace plait::python
