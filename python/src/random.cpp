// plait.core.random: what the generator has no rule for, and the state as an object that transforms can capture.
#include "plait/random.h"

#include "bind.h"
#include "trees.h"

namespace plait::python {
namespace {

/// Stands for the process's key: a sequence of one array. The key itself is the library's.
struct RandomState {};

nb::object current() { return nb::cast(random::state()); }

}  // namespace

PyObject* random_state_slot(nb::handle o) {
  static PyObject* type = nullptr;
  if (type == nullptr) type = nb::type<RandomState>().ptr();
  if (type == nullptr || reinterpret_cast<PyObject*>(Py_TYPE(o.ptr())) != type) return nullptr;
  static PyObject* slot = current().release().ptr();
  rebind(slot, random::state());
  return slot;
}

void bind_random_state(nb::module_& core) {
  nb::module_ m = submodule(core, "core.random");
  m.def(
      "key", [](uint64_t seed) { return random::key(seed); }, nb::arg("seed"), nb::sig("def key(seed: int) -> array"),
      "A key from a number from 0 to 2**64 - 1: uint32 (2,).");
  m.def(
      "seed", [](uint64_t seed) { random::seed(seed); }, nb::arg("seed"), nb::sig("def seed(seed: int) -> None"),
      "Restarts the numbers that are drawn without a key.");
  nb::class_<RandomState>(m, "_RandomState", "The key that draws without one split; a sequence of one array.")
      .def("__len__", [](const RandomState&) { return 1; })
      .def("__getitem__",
           [](const RandomState&, int64_t i) {
             if (i != 0 && i != -1) throw nb::index_error("the state holds one array");
             return current();
           })
      .def("__iter__", [](const RandomState&) { return nb::iter(nb::make_tuple(current())); });
  m.attr("state") = RandomState();
}

}  // namespace plait::python
