#include "convert.h"

#include <limits>
#include <stdexcept>

#include "buffers.h"
#include "traced_number.h"

namespace plait::python {
namespace {

// The type of an object, for messages.
std::string type_of(nb::handle o) { return Py_TYPE(o.ptr())->tp_name; }

template <class E>
[[noreturn]] void throw_not_an_operand(nb::handle o, const char* number) {
  throw E({.got = "a value of type " + type_of(o),
           .accepts = std::string("an array, ") + number + ", or an object with a buffer, DLPack or __plait_array__",
           .hint = "array(...) makes one from a list or tuple"});
}

}  // namespace

bool fits(const Scalar& s, DType d) {
  if (s.kind != Scalar::Kind::integer || !is_integer(d)) return true;
  const int bits = 8 * size_of(d);
  if (is_in(d, dtypes::unsigned_integer)) {
    if (s.is_unsigned) return bits == 64;
    return s.i >= 0 && (bits == 64 || (s.i >> bits) == 0);
  }
  if (s.is_unsigned) return false;
  return bits == 64 || (s.i >= -(int64_t{1} << (bits - 1)) && s.i < (int64_t{1} << (bits - 1)));
}

bool is_scalar(PyObject* o) { return PyFloat_Check(o) || PyLong_Check(o) || PyComplex_Check(o) || is_traced_number(o); }

Scalar to_scalar(PyObject* o) {
  if (is_traced_number(o)) {
    const nb::object plain = plain_number(o);
    return to_scalar(is_scalar(plain.ptr()) ? plain.ptr() : nb::object(plain.attr("item")()).ptr());
  }
  if (PyFloat_Check(o)) return Scalar(PyFloat_AS_DOUBLE(o));
  if (PyBool_Check(o)) return Scalar(o == Py_True);
  if (PyLong_Check(o)) {
    int overflow = 0;
    const int64_t v = PyLong_AsLongLongAndOverflow(o, &overflow);
    if (overflow)
      throw std::runtime_error(
          "an integer that needs more than 64 bits; float(...) makes it a number of limited precision");
    return Scalar(v);
  }
  const Py_complex c = PyComplex_AsCComplex(o);
  return Scalar(complex64_t{static_cast<float>(c.real), static_cast<float>(c.imag)});
}

std::optional<Array> array_like(nb::handle o) {
  if (PyType_Check(o.ptr())) return std::nullopt;
  for (const char* hook : {"__plait_array__", "__mlx_array__"}) {
    PyObject* method = PyObject_GetAttrString(reinterpret_cast<PyObject*>(Py_TYPE(o.ptr())), hook);
    if (!method) {
      PyErr_Clear();
      continue;
    }
    Py_DECREF(method);
    nb::object made = nb::steal(PyObject_CallMethod(o.ptr(), hook, nullptr));
    if (!made.is_valid()) throw nb::python_error();
    if (is_array(made.ptr())) return value_of(made.ptr());
    throw ArgumentTypeError(
        {.got = std::string(hook) + " returned a value of type " + type_of(made), .accepts = "an array"});
  }
  return std::nullopt;
}

static std::optional<Array> foreign_array(nb::handle o, std::optional<DType> dtype) {
  if (std::optional<Array> a = array_like(o)) return a;
  if (!has_buffer(o.ptr())) return std::nullopt;
  return from_buffer(o, dtype);
}

Array scalar_beside(const Scalar& scalar, DType beside) {
  const DType dtype = scalar.dtype_with(beside);
  if (!fits(scalar, dtype) && beside == dtype && size_of(dtype) < 8) {
    throw ArgumentError({.got = std::to_string(scalar.i) + " does not fit " + std::string(name_of(dtype)),
                         .accepts = "integers of " + std::string(name_of(dtype)) + " beside an array of that dtype",
                         .hint = "astype gives the array a wider dtype"});
  }
  return Array(scalar, dtype);
}

void OperandDType::see(const Array& a) { common_ = common_ ? promote(*common_, a.dtype()) : a.dtype(); }

void OperandDType::see(const Operand& o) {
  if (is_array(o.object.ptr())) see(value_of(o.object.ptr()));
}

Array OperandDType::convert(const Operand& o) const {
  PyObject* p = o.object.ptr();
  if (is_array(p)) return value_of(p);
  if (is_traced_number(p)) return traced_operand(p, common_);
  if (is_scalar(p)) {
    const Scalar s = to_scalar(p);
    return common_ ? scalar_beside(s, *common_) : Array(s);
  }
  if (std::optional<Array> a = foreign_array(o.object, common_)) return *a;
  throw_not_an_operand<ArgumentError>(o.object, "a number");
}

Array to_array(const Operand& o) { return OperandDType().convert(o); }

Array to_positions(const Operand& o) {
  PyObject* p = o.object.ptr();
  if (is_array(p) || PyLong_Check(p) || number_type(p).is(nb::handle(reinterpret_cast<PyObject*>(&PyLong_Type))))
    return to_array(o);
  if (!is_scalar(p))
    if (std::optional<Array> a = foreign_array(o.object, std::nullopt)) return *a;
  throw_not_an_operand<ArgumentTypeError>(o.object, "an integer");
}

std::pair<Array, Array> operands(PyObject* a, PyObject* b) {
  if (is_array(a) && is_array(b)) return {value_of(a), value_of(b)};
  OperandDType common;
  common.see(Operand(a));
  common.see(Operand(b));
  return {common.convert(Operand(a)), common.convert(Operand(b))};
}

Arrays to_arrays(const nb::args& args) {
  Arrays out;
  if (!load_arrays(args.ptr(), out)) throw nb::type_error("every argument has to be an array");
  return out;
}

nb::object to_tuple(const Arrays& arrays) {
  nb::object out = nb::steal(PyTuple_New(static_cast<Py_ssize_t>(arrays.size())));
  if (!out.is_valid()) throw nb::python_error();
  for (size_t i = 0; i < arrays.size(); ++i) {
    PyObject* item = wrap(arrays[i]);
    if (!item) throw nb::python_error();
    PyTuple_SET_ITEM(out.ptr(), static_cast<Py_ssize_t>(i), item);
  }
  return out;
}

nb::object to_list(const Arrays& arrays) {
  nb::object out = nb::steal(PyList_New(static_cast<Py_ssize_t>(arrays.size())));
  if (!out.is_valid()) throw nb::python_error();
  for (size_t i = 0; i < arrays.size(); ++i) {
    PyObject* item = wrap(arrays[i]);
    if (!item) throw nb::python_error();
    PyList_SET_ITEM(out.ptr(), static_cast<Py_ssize_t>(i), item);
  }
  return out;
}

nb::object one_or_list(const Arrays& arrays) { return arrays.size() == 1 ? nb::cast(arrays[0]) : to_list(arrays); }

nb::object one_or_tuple(const Arrays& arrays) { return arrays.size() == 1 ? nb::cast(arrays[0]) : to_tuple(arrays); }

nb::object to_named(const char* name, const Arrays& arrays) {
  // Not an import, which would call what the running frame has as __import__.
  const nb::object linalg = nb::steal(PyImport_GetModule(nb::str("plait.core.linalg").ptr()));
  if (!linalg.is_valid()) throw nb::import_error("plait.core.linalg is not loaded");
  return linalg.attr(name).attr("_make")(to_tuple(arrays));
}

nb::object one_or_named(const char* name, const Arrays& arrays) {
  return arrays.size() == 1 ? nb::cast(arrays[0]) : to_named(name, arrays);
}

nb::object shape_tuple(const Shape& shape) {
  nb::object out = nb::steal(PyTuple_New(static_cast<Py_ssize_t>(shape.size())));
  if (!out.is_valid()) throw nb::python_error();
  for (size_t i = 0; i < shape.size(); ++i) {
    PyObject* extent = PyLong_FromLongLong(shape[i].fixed());
    if (!extent) throw nb::python_error();
    PyTuple_SET_ITEM(out.ptr(), static_cast<Py_ssize_t>(i), extent);
  }
  return out;
}

bool load_int(PyObject* o, int64_t& out) {
  PyObject* index = nullptr;
  if (PyLong_Check(o)) {
    index = Py_NewRef(o);
  } else {
    if (PyFloat_Check(o) || !PyIndex_Check(o)) return false;
    index = PyNumber_Index(o);
    if (!index) {
      PyErr_Clear();
      return false;
    }
  }
  int overflow = 0;
  out = PyLong_AsLongLongAndOverflow(index, &overflow);
  Py_DECREF(index);
  if (overflow) out = overflow > 0 ? std::numeric_limits<int64_t>::max() : std::numeric_limits<int64_t>::min();
  return true;
}

bool load_ints(PyObject* o, std::vector<int64_t>& out) {
  out.clear();
  if (PyUnicode_Check(o) || PyBytes_Check(o) || !PySequence_Check(o) || is_array(o)) return false;
  const nb::object items = nb::steal(PySequence_Fast(o, ""));
  if (!items.is_valid()) {
    PyErr_Clear();
    return false;
  }
  const Py_ssize_t count = PySequence_Fast_GET_SIZE(items.ptr());
  out.resize(static_cast<size_t>(count));
  for (Py_ssize_t i = 0; i < count; ++i)
    if (!load_int(PySequence_Fast_GET_ITEM(items.ptr(), i), out[static_cast<size_t>(i)])) return false;
  return true;
}

bool load_arrays(PyObject* o, Arrays& out) {
  out.clear();
  if (is_array(o)) {  // its rows
    const nb::object rows = nb::steal(PySequence_List(o));
    if (rows.is_valid()) return load_arrays(rows.ptr(), out);
    if (PyErr_ExceptionMatches(PyExc_MemoryError)) throw nb::python_error();
    PyErr_Clear();
    return false;
  }
  if (!PyList_Check(o) && !PyTuple_Check(o)) return false;
  const Py_ssize_t count = PySequence_Fast_GET_SIZE(o);
  out.reserve(static_cast<size_t>(count));
  for (Py_ssize_t i = 0; i < count; ++i) {
    PyObject* item = PySequence_Fast_GET_ITEM(o, i);
    if (!is_array(item) || !reinterpret_cast<ArrayObject*>(item)->value.defined()) return false;
    out.push_back(reinterpret_cast<ArrayObject*>(item)->value);
  }
  return true;
}

}  // namespace plait::python

namespace nanobind::detail {

using plait::python::load_int;
using plait::python::load_ints;

bool type_caster<plait::Axes>::from_python(handle src, uint32_t, cleanup_list*) {
  if (src.is_none()) {
    value = plait::Axes();
    return true;
  }
  const auto narrow = [](int64_t axis) {  // what no array has stays out of range
    constexpr int64_t far = std::numeric_limits<int>::max();
    return static_cast<int>(std::max(-far, std::min(far, axis)));
  };
  int64_t one = 0;
  if (load_int(src.ptr(), one)) {
    value = plait::Axes(narrow(one));
    return true;
  }
  std::vector<int64_t> several;
  if (!load_ints(src.ptr(), several)) return false;
  std::vector<int> axes;
  for (const int64_t axis : several) axes.push_back(narrow(axis));
  value = plait::Axes(std::move(axes));
  return true;
}

bool type_caster<plait::Shape>::from_python(handle src, uint32_t, cleanup_list*) {
  int64_t one = 0;
  std::vector<int64_t> several;
  if (load_int(src.ptr(), one)) {
    several.push_back(one);
  } else if (!load_ints(src.ptr(), several)) {
    return false;
  }
  value = plait::Shape(std::span<const int64_t>(several));
  return true;
}

bool type_caster<plait::IntList>::from_python(handle src, uint32_t, cleanup_list*) {
  int64_t one = 0;
  value.clear();
  if (load_int(src.ptr(), one)) {
    value.push_back(one);
    return true;
  }
  return load_ints(src.ptr(), value);
}

bool type_caster<plait::IntOrInts>::from_python(handle src, uint32_t, cleanup_list*) {
  int64_t one = 0;
  if (load_int(src.ptr(), one)) {
    value = one;
    return true;
  }
  std::vector<int64_t> several;
  if (!load_ints(src.ptr(), several)) return false;
  value = std::move(several);
  return true;
}

}  // namespace nanobind::detail
