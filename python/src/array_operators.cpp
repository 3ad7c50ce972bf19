// What array.__add__ and the like are when Python code names them: functions with the parameters that programs for this
// interface may look up or give by name. `a + b` does not pass here. CPython calls the slots of array_number.cpp and
// array_index.cpp, and these functions go into the type's dictionary beside them: setattr would put dispatchers into the
// slots. A class derived from array gets dispatchers, as any class does whose base has methods of these names; they call
// these functions, which call the slots.
#include <string>

#include "bind.h"

namespace plait::python {
namespace {

using Binary = PyObject* (*)(PyObject*, PyObject*);
using Ternary = PyObject* (*)(PyObject*, PyObject*, PyObject*);

struct Operator {
  const char* name;
  int slot;
};

constexpr Operator kReflected[] = {{"add", Py_nb_add},
                                   {"sub", Py_nb_subtract},
                                   {"mul", Py_nb_multiply},
                                   {"truediv", Py_nb_true_divide},
                                   {"floordiv", Py_nb_floor_divide},
                                   {"mod", Py_nb_remainder}};
constexpr Operator kBinary[] = {{"and", Py_nb_and},       {"or", Py_nb_or},         {"xor", Py_nb_xor},
                                {"lshift", Py_nb_lshift}, {"rshift", Py_nb_rshift}, {"matmul", Py_nb_matrix_multiply}};
constexpr Operator kInPlace[] = {{"iadd", Py_nb_inplace_add},
                                 {"isub", Py_nb_inplace_subtract},
                                 {"imul", Py_nb_inplace_multiply},
                                 {"itruediv", Py_nb_inplace_true_divide},
                                 {"ifloordiv", Py_nb_inplace_floor_divide},
                                 {"imod", Py_nb_inplace_remainder},
                                 {"iand", Py_nb_inplace_and},
                                 {"ior", Py_nb_inplace_or},
                                 {"ixor", Py_nb_inplace_xor},
                                 {"ilshift", Py_nb_inplace_lshift},
                                 {"irshift", Py_nb_inplace_rshift},
                                 {"imatmul", Py_nb_inplace_matrix_multiply}};
constexpr Operator kComparisons[] = {{"lt", Py_LT}, {"le", Py_LE}, {"eq", Py_EQ},
                                     {"ne", Py_NE}, {"gt", Py_GT}, {"ge", Py_GE}};

template <class F>
F slot(int which) {
  return reinterpret_cast<F>(PyType_GetSlot(array_type(), which));
}

/// The first argument: whoever looks the function up in the type may call it with anything.
PyObject* array_itself(nb::handle self) {
  if (!is_array(self.ptr()))
    throw nb::type_error((std::string("an array is needed, not ") + Py_TYPE(self.ptr())->tp_name).c_str());
  return self.ptr();
}

nb::object result(PyObject* made) { return checked(nb::steal(made)); }

template <class F, class... Extra>
void put(const std::string& name, const char* parameters, F&& f, const Extra&... extra) {
  const nb::object function = nb::cpp_function(std::forward<F>(f), nb::is_method(), nb::name(name.c_str()),
                                               nb::sig(("def " + name + parameters).c_str()), extra...);
  if (PyDict_SetItemString(array_type()->tp_dict, name.c_str(), function.ptr()) != 0) throw nb::python_error();
}

template <class F>
void put_operator(const std::string& name, F&& f) {
  const bool of_arrays = name == "matmul" || name == "imatmul";
  const bool equality = name == "eq" || name == "ne";
  put("__" + name + "__",
      of_arrays  ? "(self, other: array) -> array"
      : equality ? "(self, other: scalar | array | ArrayLike) -> array | bool"
                 : "(self, other: scalar | array | ArrayLike) -> array",
      std::forward<F>(f), nb::arg("other").none());
}

void put_binary(const std::string& name, Binary run) {
  put_operator(name, [run](nb::handle self, nb::handle other) { return result(run(array_itself(self), other.ptr())); });
}

void put_reflected(const std::string& name, Binary run) {
  put_operator(name, [run](nb::handle self, nb::handle other) {
    PyObject* right = array_itself(self);
    return result(run(other.ptr(), right));
  });
}

void put_powers() {
  const auto power = slot<Ternary>(Py_nb_power), in_place = slot<Ternary>(Py_nb_inplace_power);
  put_operator("pow", [power](nb::handle self, nb::handle other) {
    return result(power(array_itself(self), other.ptr(), Py_None));
  });
  put_operator("rpow", [power](nb::handle self, nb::handle other) {
    PyObject* exponent = array_itself(self);
    return result(power(other.ptr(), exponent, Py_None));
  });
  put_operator("ipow", [in_place](nb::handle self, nb::handle other) {
    return result(in_place(array_itself(self), other.ptr(), Py_None));
  });
}

void put_indexing() {
  const auto get = slot<binaryfunc>(Py_mp_subscript);
  const auto set = slot<objobjargproc>(Py_mp_ass_subscript);
  put(
      "__getitem__", "(self, arg: object | None, /) -> array",
      [get](nb::handle self, nb::handle key) { return result(get(array_itself(self), key.ptr())); }, nb::arg().none());
  put(
      "__setitem__", "(self, arg0: object | None, arg1: scalar | array | ArrayLike, /) -> None",
      [set](nb::handle self, nb::handle key, nb::handle value) {
        if (set(array_itself(self), key.ptr(), value.ptr()) != 0) throw nb::python_error();
      },
      nb::arg().none(), nb::arg().none());
}

}  // namespace

void describe_operators() {
  for (const auto& [name, which] : kReflected) {
    put_binary(name, slot<Binary>(which));
    put_reflected(std::string("r") + name, slot<Binary>(which));
  }
  for (const auto& [name, which] : kBinary) put_binary(name, slot<Binary>(which));
  for (const auto& [name, which] : kInPlace) put_binary(name, slot<Binary>(which));
  put_powers();
  const auto compare = slot<richcmpfunc>(Py_tp_richcompare);
  for (const auto& [name, which] : kComparisons)
    put_operator(name, [compare, which = which](nb::handle self, nb::handle other) {
      return result(compare(array_itself(self), other.ptr(), which));
    });
  // Names of division that programs for this interface may ask for.
  put_binary("div", slot<Binary>(Py_nb_true_divide));
  put_reflected("rdiv", slot<Binary>(Py_nb_true_divide));
  put_indexing();
  PyType_Modified(array_type());
}

}  // namespace plait::python
