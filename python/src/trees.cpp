#include "trees.h"

namespace plait::python {
namespace {

/// What stands where an array was.
nb::handle hole() {
  static PyObject* object = PyObject_CallNoArgs(reinterpret_cast<PyObject*>(&PyBaseObject_Type));
  return object;
}

}  // namespace

void collect_arrays(nb::handle tree, std::vector<PyObject*>& into) {
  PyObject* o = tree.ptr();
  if (is_array(o)) {
    into.push_back(o);
  } else if (PyDict_Check(o)) {
    PyObject* key = nullptr;
    PyObject* value = nullptr;
    Py_ssize_t at = 0;
    while (PyDict_Next(o, &at, &key, &value)) collect_arrays(value, into);
  } else if (PyList_Check(o) || PyTuple_Check(o)) {
    for (Py_ssize_t i = 0; i < PySequence_Fast_GET_SIZE(o); ++i) collect_arrays(PySequence_Fast_GET_ITEM(o, i), into);
  } else if (PyObject* key = random_state_slot(o)) {
    into.push_back(key);
  }
}

Arrays arrays_of(nb::handle tree) {
  std::vector<PyObject*> objects;
  collect_arrays(tree, objects);
  Arrays out;
  out.reserve(objects.size());
  for (PyObject* o : objects) out.push_back(value_of(o));
  return out;
}

Tree Tree::of(nb::handle tree) {
  Tree out;
  out.shape = map_tree(tree, [&](nb::handle leaf) -> nb::object {
    if (!is_array(leaf.ptr())) return nb::borrow(leaf);
    out.leaves.push_back(value_of(leaf.ptr()));
    return nb::borrow(hole());
  });
  return out;
}

bool Tree::is_hole(nb::handle leaf) { return leaf.is(hole()); }

nb::object Tree::with(const Arrays& arrays) const {
  size_t next = 0;
  return map_tree(shape, [&](nb::handle leaf) -> nb::object {
    return leaf.is(hole()) ? nb::cast(arrays.at(next++)) : nb::borrow(leaf);
  });
}

nb::object Tree::with(const std::vector<nb::object>& leaves) const {
  size_t next = 0;
  return map_tree(
      shape, [&](nb::handle leaf) -> nb::object { return leaf.is(hole()) ? leaves.at(next++) : nb::borrow(leaf); });
}

}  // namespace plait::python
