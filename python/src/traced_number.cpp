#include "traced_number.h"

#include <memory>
#include <optional>

#include "bind.h"
#include "buffers.h"

namespace plait::python {
namespace {

/// Not a subclass of float or int: C code would read the example's value out of such an object without asking.
struct NumberObject {
  PyObject_HEAD
  std::shared_ptr<TracedNumbers> numbers;
  uint32_t id;
};

PyTypeObject* number_object_type = nullptr;

NumberObject* as_traced(PyObject* o) {
  return Py_TYPE(o) == number_object_type ? reinterpret_cast<NumberObject*>(o) : nullptr;
}

PyObject* checked(PyObject* o) {
  if (o == nullptr) throw nb::python_error();
  return o;
}

bool is_64_bits(PyObject* integer) {
  int overflow = 0;
  PyLong_AsLongLongAndOverflow(integer, &overflow);
  return overflow == 0;
}

bool is_numpy_number(PyObject* o) {
  if (!std::string_view(Py_TYPE(o)->tp_name).starts_with("numpy.")) return false;
  static PyObject* number = nb::object(nb::module_::import_("numpy").attr("number")).release().ptr();
  if (PyObject_IsInstance(o, number) != 1) return false;
  const nb::object item = nb::handle(o).attr("item")();  // not of Python for what is wider than Python's
  return PyFloat_CheckExact(item.ptr()) || PyComplex_CheckExact(item.ptr()) ||
         (PyLong_CheckExact(item.ptr()) && is_64_bits(item.ptr()));
}

nb::object make(const std::shared_ptr<TracedNumbers>& numbers, uint32_t id) {
  PyObject* o = checked(number_object_type->tp_alloc(number_object_type, 0));
  auto* number = reinterpret_cast<NumberObject*>(o);
  new (&number->numbers) std::shared_ptr<TracedNumbers>(numbers);
  number->id = id;
  return nb::steal(o);
}

/// The number that a stand-in has now, without noting that somebody looked.
nb::object peeked(PyObject* o) {
  const NumberObject* number = as_traced(o);
  return number ? peeked(number->numbers->example(number->id).ptr()) : nb::borrow(o);
}

// ---- computing with stand-ins ---------------------------------------------------------------------------------------

/// What stands for a number of the open trace, or null.
NumberObject* open_one(PyObject* o) {
  NumberObject* number = as_traced(o);
  return number != nullptr && number->numbers->is_open() ? number : nullptr;
}

TracedNumbers::Operand operand_of(PyObject* o) {
  if (const NumberObject* number = open_one(o)) return {number->id, {}};
  return {0, plain_number(o)};
}

nb::object value_of_operand(const TracedNumbers::Operand& o, const TracedNumbers& numbers) {
  return o.id != 0 ? peeked(numbers.example(o.id).ptr()) : o.other;
}

/// `compute` of numbers, at least one of which is a stand-in.
PyObject* computed(TracedNumbers::Compute compute, PyObject* a, PyObject* b) {
  NumberObject* one = open_one(a) ? open_one(a) : b ? open_one(b) : nullptr;
  const auto usual = [](PyObject* o) { return o == nullptr || is_number(o) || PyBool_Check(o); };
  if (one == nullptr || !usual(a) || !usual(b))
    return compute(plain_number(a).ptr(), b ? plain_number(b).ptr() : nullptr);
  const std::shared_ptr<TracedNumbers> numbers = one->numbers;
  TracedNumbers::Operand x = operand_of(a), y = b ? operand_of(b) : TracedNumbers::Operand();
  const nb::object left = value_of_operand(x, *numbers);
  const nb::object right = b ? value_of_operand(y, *numbers) : nb::object();
  nb::object result = nb::steal(checked(compute(left.ptr(), right.ptr())));
  if (PyBool_Check(result.ptr())) {  // a decision
    numbers->saw(numbers->add(compute, std::move(x), std::move(y), result));
    return result.release().ptr();
  }
  if (!is_number(result.ptr())) {  // an integer of more than 64 bits
    if (x.id != 0) numbers->saw(x.id);
    if (y.id != 0) numbers->saw(y.id);
    return result.release().ptr();
  }
  return make(numbers, numbers->add(compute, std::move(x), std::move(y), std::move(result))).release().ptr();
}

template <PyObject* (*F)(PyObject*, PyObject*)>
PyObject* binary(PyObject* a, PyObject* b) {
  if (is_array(a) || is_array(b)) Py_RETURN_NOTIMPLEMENTED;  // arrays know what to do with numbers
  return guarded([&] { return computed(F, a, b); }, nullptr);
}

template <PyObject* (*F)(PyObject*)>
PyObject* unary(PyObject* a) {
  return guarded([&] { return computed([](PyObject* x, PyObject*) { return F(x); }, a, nullptr); }, nullptr);
}

PyObject* power(PyObject* a, PyObject* b) { return PyNumber_Power(a, b, Py_None); }

PyObject* to_power(PyObject* a, PyObject* b, PyObject* modulus) {
  if (is_array(a) || is_array(b)) Py_RETURN_NOTIMPLEMENTED;
  return guarded(
      [&] {
        if (modulus == Py_None) return computed(power, a, b);
        const nb::object base = plain_number(a), exponent = plain_number(b), by = plain_number(modulus);
        return PyNumber_Power(base.ptr(), exponent.ptr(), by.ptr());
      },
      nullptr);
}

template <int Op>
PyObject* compared(PyObject* a, PyObject* b) {
  return PyObject_RichCompare(a, b, Op);
}

PyObject* compare(PyObject* a, PyObject* b, int op) {
  if (is_array(b)) Py_RETURN_NOTIMPLEMENTED;
  return guarded(
      [&] {
        switch (op) {
          case Py_EQ: return computed(compared<Py_EQ>, a, b);
          case Py_NE: return computed(compared<Py_NE>, a, b);
          case Py_LT: return computed(compared<Py_LT>, a, b);
          case Py_LE: return computed(compared<Py_LE>, a, b);
          case Py_GT: return computed(compared<Py_GT>, a, b);
          default: return computed(compared<Py_GE>, a, b);
        }
      },
      nullptr);
}

int truth(PyObject* a) {
  return guarded(
      [&] {
        const nb::object is = nb::steal(checked(computed(
            [](PyObject* x, PyObject*) -> PyObject* {
              const int yes = PyObject_IsTrue(x);
              return yes < 0 ? nullptr : PyBool_FromLong(yes);
            },
            a, nullptr)));
        return is.ptr() == Py_True ? 1 : 0;
      },
      -1);
}

// ---- reading them ---------------------------------------------------------------------------------------------------

/// F of the number itself.
template <PyObject* (*F)(PyObject*)>
PyObject* read(PyObject* a) {
  return guarded([&] { return F(plain_number(a).ptr()); }, nullptr);
}

template <PyObject* (*F)(PyObject*, PyObject*)>
PyObject* read_two(PyObject* a, PyObject* b) {
  if (is_array(a) || is_array(b)) Py_RETURN_NOTIMPLEMENTED;
  return guarded([&] { return F(plain_number(a).ptr(), plain_number(b).ptr()); }, nullptr);
}

Py_hash_t hash(PyObject* a) {
  return guarded([&] { return PyObject_Hash(plain_number(a).ptr()); }, Py_hash_t{-1});
}

/// is_integer, real, dtype, ...: what the number has. Its type is no secret, and no decision.
PyObject* attribute(PyObject* a, PyObject* name) {
  return guarded(
      [&]() -> PyObject* {
        const auto is = [&](const char* text) { return PyUnicode_CompareWithASCIIString(name, text) == 0; };
        if (is("__class__")) return number_type(a).inc_ref().ptr();
        if (is("__array__") || is("__reduce_ex__")) return PyObject_GenericGetAttr(a, name);
        return PyObject_GetAttr(plain_number(a).ptr(), name);
      },
      nullptr);
}

void drop(PyObject* o) {
  reinterpret_cast<NumberObject*>(o)->numbers.~shared_ptr();
  PyTypeObject* type = Py_TYPE(o);
  type->tp_free(o);
  Py_DECREF(type);
}

template <auto Function>
PyType_Slot slot(int id) {
  return {id, reinterpret_cast<void*>(Function)};
}

constexpr char kRound[] = "__round__", kTrunc[] = "__trunc__", kFloor[] = "__floor__", kCeil[] = "__ceil__",
               kFormat[] = "__format__";

/// The number's own method.
template <const char* Name>
PyObject* own(PyObject* a, PyObject* args) {
  return guarded([&] { return PyObject_CallObject(nb::object(plain_number(a).attr(Name)).ptr(), args); }, nullptr);
}

PyObject* to_complex(PyObject* a, PyObject*) {
  return guarded(
      [&] { return PyObject_CallOneArg(reinterpret_cast<PyObject*>(&PyComplex_Type), plain_number(a).ptr()); },
      nullptr);
}

PyObject* numpy_array(PyObject* a, PyObject* args, PyObject* keywords) {
  return guarded(
      [&] {
        const nb::object array = nb::module_::import_("numpy").attr("asarray")(plain_number(a));
        return PyObject_Call(nb::object(array.attr("__array__")).ptr(), args, keywords);
      },
      nullptr);
}

PyMethodDef methods[] = {
    // Looked up on the type by the functions of their names.
    {"__round__", own<kRound>, METH_VARARGS, nullptr},
    {"__trunc__", own<kTrunc>, METH_VARARGS, nullptr},
    {"__floor__", own<kFloor>, METH_VARARGS, nullptr},
    {"__ceil__", own<kCeil>, METH_VARARGS, nullptr},
    {"__complex__", to_complex, METH_NOARGS, nullptr},
    {"__format__", own<kFormat>, METH_VARARGS, nullptr},
    {"__array__", reinterpret_cast<PyCFunction>(reinterpret_cast<void (*)()>(numpy_array)),
     METH_VARARGS | METH_KEYWORDS, nullptr},
    {"__reduce_ex__",  // copies and pickles are of the number
     [](PyObject* a, PyObject*) {
       return guarded(
           [&] {
             const nb::object number = plain_number(a);
             return nb::make_tuple(number.type(), nb::make_tuple(number)).release().ptr();
           },
           nullptr);
     },
     METH_VARARGS, nullptr},
    {nullptr, nullptr, 0, nullptr}};

PyType_Slot number_slots[] = {slot<drop>(Py_tp_dealloc),
                              slot<attribute>(Py_tp_getattro),
                              slot<hash>(Py_tp_hash),
                              slot<compare>(Py_tp_richcompare),
                              slot<read<PyObject_Repr>>(Py_tp_repr),
                              slot<read<PyObject_Str>>(Py_tp_str),
                              slot<binary<PyNumber_Add>>(Py_nb_add),
                              slot<binary<PyNumber_Subtract>>(Py_nb_subtract),
                              slot<binary<PyNumber_Multiply>>(Py_nb_multiply),
                              slot<binary<PyNumber_TrueDivide>>(Py_nb_true_divide),
                              slot<binary<PyNumber_FloorDivide>>(Py_nb_floor_divide),
                              slot<binary<PyNumber_Remainder>>(Py_nb_remainder),
                              slot<to_power>(Py_nb_power),
                              slot<unary<PyNumber_Negative>>(Py_nb_negative),
                              slot<unary<PyNumber_Positive>>(Py_nb_positive),
                              slot<unary<PyNumber_Absolute>>(Py_nb_absolute),
                              slot<truth>(Py_nb_bool),
                              slot<read<PyNumber_Float>>(Py_nb_float),
                              slot<read<PyNumber_Long>>(Py_nb_int),
                              slot<read<PyNumber_Index>>(Py_nb_index),
                              slot<read<PyNumber_Invert>>(Py_nb_invert),
                              slot<read_two<PyNumber_Divmod>>(Py_nb_divmod),
                              slot<read_two<PyNumber_And>>(Py_nb_and),
                              slot<read_two<PyNumber_Or>>(Py_nb_or),
                              slot<read_two<PyNumber_Xor>>(Py_nb_xor),
                              slot<read_two<PyNumber_Lshift>>(Py_nb_lshift),
                              slot<read_two<PyNumber_Rshift>>(Py_nb_rshift),
                              {Py_tp_methods, methods},
                              {0, nullptr}};

PyType_Spec number_spec = {"plait.core.TracedNumber", sizeof(NumberObject), 0, Py_TPFLAGS_DEFAULT, number_slots};

std::string shown(const nb::object& o) { return nb::cast<std::string>(nb::str(o)); }

}  // namespace

bool is_traced_number(PyObject* o) { return as_traced(o) != nullptr; }

bool is_number(PyObject* o) {
  if (PyFloat_CheckExact(o) || PyComplex_CheckExact(o)) return true;
  if (PyLong_CheckExact(o)) return is_64_bits(o);
  return is_traced_number(o) || is_numpy_number(o);
}

uint32_t open_number(PyObject* o) {
  const NumberObject* number = open_one(o);
  return number ? number->id : 0;
}

nb::handle number_type(PyObject* o) {
  const NumberObject* number = as_traced(o);
  return number ? number->numbers->example(number->id).type() : nb::handle(reinterpret_cast<PyObject*>(Py_TYPE(o)));
}

nb::object plain_number(PyObject* o) {
  const NumberObject* number = as_traced(o);
  if (number == nullptr) return nb::borrow(o);
  if (!number->numbers->is_tracing()) return plain_number(number->numbers->example(number->id).ptr());
  number->numbers->saw(number->id);
  return peeked(o);
}

namespace {

Scalar scalar_of(const nb::object& plain) {
  return to_scalar(is_scalar(plain.ptr()) ? plain.ptr() : nb::object(plain.attr("item")()).ptr());
}

}  // namespace

Array traced_constant(PyObject* o, DType dtype) {
  const NumberObject* number = open_one(o);
  const nb::object plain = number ? peeked(o) : plain_number(o);
  return constant({scalar_of(plain), number ? number->id : 0}, dtype);
}

Array traced_operand(PyObject* o, std::optional<DType> beside) {
  const NumberObject* number = open_one(o);
  const nb::object plain = number ? peeked(o) : plain_number(o);
  if (!is_scalar(plain.ptr())) {  // NumPy's, whose type alone decides
    const Array like = from_buffer(plain, beside);
    return number ? traced_constant(o, like.dtype()) : like;
  }
  const Scalar scalar = to_scalar(plain.ptr());
  const Array like = beside ? scalar_beside(scalar, *beside) : Array(scalar);
  if (number == nullptr) return like;
  if (scalar.kind == Scalar::Kind::integer && is_integer(like.dtype())) {
    if (!beside || *beside == DType::bool_)
      number->numbers->saw_fit(number->id, DType::int32);
    else if (size_of(like.dtype()) < 8)
      number->numbers->saw_fit(number->id, like.dtype());
  }
  return constant({scalar, number->id}, like.dtype());
}

bool TracedNumbers::is_open() const {
  const NumberScope* scope = NumberScope::current();
  return scope_ != 0 && scope != nullptr && scope->serial() == scope_;
}

nb::object TracedNumbers::stand_in(const std::shared_ptr<TracedNumbers>& numbers, size_t at) {
  return make(numbers, static_cast<uint32_t>(at + 1));
}

uint32_t TracedNumbers::add(Compute compute, Operand a, Operand b, nb::object result) {
  computed_.push_back({compute, std::move(a), std::move(b)});
  examples_.push_back(std::move(result));
  return static_cast<uint32_t>(examples_.size());
}

void TracedNumbers::saw(uint32_t id) {
  for (const Seen& seen : seen_)
    if (seen.id == id && seen.value.is_valid()) return;
  seen_.push_back({id, peeked(examples_[id - 1].ptr())});
}

void TracedNumbers::saw_fit(uint32_t id, DType dtype) {
  for (const Seen& seen : seen_)
    if (seen.id == id && !seen.value.is_valid() && seen.dtype == dtype) return;
  seen_.push_back({id, {}, dtype, fits(to_scalar(peeked(examples_[id - 1].ptr()).ptr()), dtype)});
}

bool TracedNumbers::apply(const std::vector<nb::object>& given, std::vector<nb::object>& all, std::string* why) const {
  all = given;
  for (const Computed& next : computed_) {
    const auto operand = [&](const Operand& o) { return o.id != 0 ? all[o.id - 1] : o.other; };
    const nb::object a = operand(next.a), b = operand(next.b);
    PyObject* result = next.compute(a.ptr(), b.ptr());
    if (result == nullptr) {  // running the function raises it again, at the user's line
      PyErr_Clear();
      if (why) *why = "a computation with numbers fails";
      return false;
    }
    all.push_back(nb::steal(result));
    // A result of another type would have led to other dtypes.
    if (number_type(result).ptr() != number_type(examples_[all.size() - 1].ptr()).ptr() ||
        (PyLong_CheckExact(result) && !is_64_bits(result))) {
      if (why) *why = "a number computed from arguments is of another type";
      return false;
    }
  }
  for (const Seen& seen : seen_) {
    const nb::object now = plain_number(all[seen.id - 1].ptr());
    bool same = false;
    if (seen.value.is_valid()) {
      const int equal = PyObject_RichCompareBool(now.ptr(), seen.value.ptr(), Py_EQ);
      if (equal < 0) throw nb::python_error();
      same = equal == 1;
      // 0.0 and -0.0 are equal, but not to a division.
      if (same && PyFloat_Check(now.ptr()) && nb::cast<double>(now) == 0) same = shown(now) == shown(seen.value);
    } else {
      same = fits(to_scalar(now.ptr()), seen.dtype) == seen.fitted;
    }
    if (same) continue;
    if (why)
      *why = seen.value.is_valid()
                 ? "a number that the function looked at was " + shown(seen.value) + " and is now " + shown(now)
                 : shown(now) + (seen.fitted ? " does not fit " : " fits ") + std::string(name_of(seen.dtype));
    return false;
  }
  return true;
}

int TracedNumbers::traverse(visitproc visit, void* arg) const {
  for (const nb::object& o : examples_) Py_VISIT(o.ptr());
  for (const Computed& c : computed_) {
    Py_VISIT(c.a.other.ptr());
    Py_VISIT(c.b.other.ptr());
  }
  for (const Seen& seen : seen_) Py_VISIT(seen.value.ptr());
  return 0;
}

std::string TracedNumbers::in_words() const {
  std::string out;
  for (const Seen& seen : seen_) {
    out += out.empty() ? "" : ", ";
    out += "number " + std::to_string(seen.id);
    out += seen.value.is_valid() ? " is " + shown(seen.value)
                                 : (seen.fitted ? " fits " : " does not fit ") + std::string(name_of(seen.dtype));
  }
  return out;
}

std::vector<Number> to_numbers(const std::vector<nb::object>& objects) {
  std::vector<Number> out;
  out.reserve(objects.size());
  for (const nb::object& o : objects) {
    if (PyBool_Check(o.ptr())) {
      out.emplace_back();  // a decision, which no constant is made from
      continue;
    }
    const NumberObject* number = open_one(o.ptr());
    out.push_back({scalar_of(number ? peeked(o.ptr()) : plain_number(o.ptr())), number ? number->id : 0});
  }
  return out;
}

void bind_traced_numbers() {
  number_object_type = reinterpret_cast<PyTypeObject*>(checked(PyType_FromSpec(&number_spec)));
}

}  // namespace plait::python
