// Arithmetic and comparison of arrays, as functions that CPython calls without dispatch in between.
#include "bind.h"
#include "plait/ops.h"

namespace plait::python {
namespace {

using Binary = Array (*)(const Array&, const Array&);
using Unary = Array (*)(const Array&);

PyObject* none_is_no_operand() {
  PyErr_SetString(PyExc_TypeError, "None is no operand of an array");
  return nullptr;
}

/// One of the operands is an array; CPython asks both ways round.
template <Binary F, bool Reflected = true>
PyObject* binary(PyObject* a, PyObject* b) {
  return guarded(
      [&]() -> PyObject* {
        if (Py_TYPE(a) == array_type_object && Py_TYPE(b) == array_type_object) [[likely]]
          return wrap(F(value_of(a), value_of(b)));
        if (!Reflected && !is_array(a)) return Py_NewRef(Py_NotImplemented);
        if (a == Py_None || b == Py_None) return none_is_no_operand();
        const auto [x, y] = operands(a, b);
        return wrap(F(x, y));
      },
      nullptr);
}

/// a += b: the slot gets the sum, so every name of the array sees it.
template <Binary F>
PyObject* in_place(PyObject* a, PyObject* b) {
  return guarded(
      [&]() -> PyObject* {
        if (b == Py_None) return none_is_no_operand();
        if (is_array(b)) {
          rebind(a, F(value_of(a), value_of(b)));
        } else {
          const auto [x, y] = operands(a, b);
          rebind(a, F(x, y));
        }
        return Py_NewRef(a);
      },
      nullptr);
}

template <Unary F>
PyObject* unary(PyObject* a) {
  return guarded([&] { return wrap(F(value_of(a))); }, nullptr);
}

PyObject* matrix_product(PyObject* a, PyObject* b) {
  if (!is_array(a)) Py_RETURN_NOTIMPLEMENTED;
  if (!is_array(b)) {
    PyErr_Format(PyExc_TypeError, "@ needs arrays on both sides, not %s", Py_TYPE(b)->tp_name);
    return nullptr;
  }
  return guarded([&] { return wrap(matmul(value_of(a), value_of(b))); }, nullptr);
}
PyObject* in_place_matrix_product(PyObject* a, PyObject* b) {
  if (!is_array(b)) Py_RETURN_NOTIMPLEMENTED;
  return guarded(
      [&] {
        rebind(a, matmul(value_of(a), value_of(b)));
        return Py_NewRef(a);
      },
      nullptr);
}

PyObject* to_power(PyObject* a, PyObject* b, PyObject* modulus) {
  if (modulus != Py_None) Py_RETURN_NOTIMPLEMENTED;
  return binary<power>(a, b);
}
PyObject* in_place_power(PyObject* a, PyObject* b, PyObject*) { return in_place<power>(a, b); }

// & | ^ ~ on bool arrays are logical; the bitwise functions do the same there.
PyObject* compare(PyObject* a, PyObject* b, int op) {
  return guarded(
      [&]() -> PyObject* {
        if (b == Py_None) return none_is_no_operand();
        const bool equality = op == Py_EQ || op == Py_NE;
        if (equality && !is_array(b) && !is_scalar(b) &&
            (PyList_Check(b) || PyTuple_Check(b) || PyUnicode_Check(b) ||
             !(PyObject_CheckBuffer(b) || array_like(b)))) {
          return PyBool_FromLong(op == Py_NE);  // something that is no array and no number
        }
        const auto [x, y] = operands(a, b);
        switch (op) {
          case Py_EQ: return wrap(equal(x, y));
          case Py_NE: return wrap(not_equal(x, y));
          case Py_LT: return wrap(less(x, y));
          case Py_LE: return wrap(less_equal(x, y));
          case Py_GT: return wrap(greater(x, y));
          default: return wrap(greater_equal(x, y));
        }
      },
      nullptr);
}

PyObject* as_is(PyObject* a) {
  return guarded([&] { return wrap(value_of(a)); }, nullptr);
}

}  // namespace

void add_number_slots(PyType_Slot*& at) {
  const auto add = [&at](int slot, auto* function) { *at++ = {slot, reinterpret_cast<void*>(function)}; };
  add(Py_nb_add, binary<plait::add>);
  add(Py_nb_subtract, binary<subtract>);
  add(Py_nb_multiply, binary<multiply>);
  add(Py_nb_true_divide, binary<divide>);
  add(Py_nb_floor_divide, binary<floor_divide>);
  add(Py_nb_remainder, binary<remainder>);
  add(Py_nb_power, to_power);
  add(Py_nb_matrix_multiply, matrix_product);
  add(Py_nb_and, binary<bitwise_and, false>);
  add(Py_nb_or, binary<bitwise_or, false>);
  add(Py_nb_xor, binary<bitwise_xor, false>);
  add(Py_nb_lshift, binary<left_shift, false>);
  add(Py_nb_rshift, binary<right_shift, false>);
  add(Py_nb_inplace_add, in_place<plait::add>);
  add(Py_nb_inplace_subtract, in_place<subtract>);
  add(Py_nb_inplace_multiply, in_place<multiply>);
  add(Py_nb_inplace_true_divide, in_place<divide>);
  add(Py_nb_inplace_floor_divide, in_place<floor_divide>);
  add(Py_nb_inplace_remainder, in_place<remainder>);
  add(Py_nb_inplace_power, in_place_power);
  add(Py_nb_inplace_matrix_multiply, in_place_matrix_product);
  add(Py_nb_inplace_and, in_place<bitwise_and>);
  add(Py_nb_inplace_or, in_place<bitwise_or>);
  add(Py_nb_inplace_xor, in_place<bitwise_xor>);
  add(Py_nb_inplace_lshift, in_place<left_shift>);
  add(Py_nb_inplace_rshift, in_place<right_shift>);
  add(Py_nb_negative, unary<negative>);
  add(Py_nb_positive, as_is);
  add(Py_nb_absolute, unary<plait::abs>);
  add(Py_nb_invert, unary<bitwise_invert>);
  add(Py_tp_richcompare, compare);
}

}  // namespace plait::python
