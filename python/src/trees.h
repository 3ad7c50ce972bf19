// Trees of arrays: nested dicts, lists and tuples, as transforms and eval take them.
#pragma once

#include <nanobind/nanobind.h>

#include <vector>

#include "array.h"

namespace plait::python {

/// The key's array when `o` is random.state, up to date; else null.
PyObject* random_state_slot(nb::handle o);  // borrowed

/// Appends every array in the tree, dicts in the order of their items. Other leaves are passed over.
void collect_arrays(nb::handle tree, std::vector<PyObject*>& into);  // borrowed
Arrays arrays_of(nb::handle tree);

/// A tree taken apart: its arrays, and a copy of the rest with holes where the arrays were.
struct Tree {
  nb::object shape;  // leaves that were arrays are replaced by hole()
  Arrays leaves;

  static Tree of(nb::handle tree);
  /// Whether a leaf of `shape` stands where an array was.
  static bool is_hole(nb::handle leaf);
  /// The same tree with other arrays, in the same order; `next` counts those used.
  nb::object with(const Arrays& arrays) const;
  nb::object with(const std::vector<nb::object>& leaves) const;
};

/// A tree of the same structure: containers are copied (lists, tuples, named tuples, dicts), each leaf is mapped.
template <class F>
nb::object map_tree(nb::handle tree, F&& leaf) {
  if (PyDict_Check(tree.ptr())) {
    nb::dict out;
    for (auto [key, value] : nb::borrow<nb::dict>(tree)) out[key] = map_tree(value, leaf);
    return out;
  }
  if (PyList_Check(tree.ptr())) {
    nb::list out;
    for (nb::handle item : nb::borrow<nb::list>(tree)) out.append(map_tree(item, leaf));
    return out;
  }
  if (PyTuple_Check(tree.ptr())) {
    nb::list items;
    for (nb::handle item : nb::borrow<nb::tuple>(tree)) items.append(map_tree(item, leaf));
    if (PyTuple_CheckExact(tree.ptr())) return nb::tuple(items);
    nb::handle type(reinterpret_cast<PyObject*>(Py_TYPE(tree.ptr())));
    return nb::hasattr(type, "_make") ? type.attr("_make")(items) : type(nb::tuple(items));
  }
  return leaf(tree);
}

}  // namespace plait::python
