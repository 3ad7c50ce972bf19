// array(...): from numbers, nested lists and tuples, arrays, and memory of other libraries.
#include <cstring>
#include <string>
#include <vector>

#include "buffers.h"
#include "convert.h"
#include "graph/node.h"
#include "plait/ops.h"
#include "traced_number.h"

namespace plait::python {
namespace {

[[noreturn]] void throw_bad_element(PyObject* o) {
  throw ArgumentError({.op = "array",
                       .got = "a value of type " + std::string(Py_TYPE(o)->tp_name),
                       .accepts = "numbers, arrays, nested lists and tuples of them, or an object with a buffer"});
}

bool is_nested(PyObject* o) { return PyList_Check(o) || PyTuple_Check(o); }

/// What a nested list holds, found before anything is allocated.
struct Survey {
  std::vector<int64_t> shape;
  Scalar::Kind kind = Scalar::Kind::boolean;
  bool wide = false;         // an integer needs 64 bits
  bool any_number = false;
  bool any_array = false;    // then the parts are stacked instead
};

void look(PyObject* o, size_t depth, Survey& s) {
  if (depth > 64) throw ArgumentError({.op = "array", .got = "lists nested more than 64 deep"});
  if (is_traced_number(o)) return look(plain_number(o).ptr(), depth, s);
  if (!is_nested(o)) {
    if (is_scalar(o)) {
      if (depth != s.shape.size())
        throw ArgumentError({.op = "array", .got = "numbers beside lists at one level of nesting"});
      s.any_number = true;
      Scalar::Kind kind = Scalar::Kind::complex;
      if (PyBool_Check(o)) {
        kind = Scalar::Kind::boolean;
      } else if (PyLong_Check(o)) {
        kind = Scalar::Kind::integer;
        const Scalar v = to_scalar(o);
        s.wide |= v.i < INT32_MIN || v.i > INT32_MAX;
      } else if (PyFloat_Check(o)) {
        kind = Scalar::Kind::floating;
      }
      s.kind = std::max(s.kind, kind);
      return;
    }
    if (!is_array(o) && !has_buffer(o) && !array_like(o)) throw_bad_element(o);
    if (PyBytes_Check(o) || PyUnicode_Check(o)) throw_bad_element(o);
    s.any_array = true;
    return;
  }
  const Py_ssize_t count = PySequence_Fast_GET_SIZE(o);
  if (depth == s.shape.size()) {
    if (s.any_number) throw ArgumentError({.op = "array", .got = "lists beside numbers at one level of nesting"});
    s.shape.push_back(count);
  } else if (s.shape[depth] != count) {
    throw ShapeError({.op = "array",
                      .got = "lists of lengths " + std::to_string(s.shape[depth]) + " and " + std::to_string(count) +
                             " at one level of nesting",
                      .accepts = "equal lengths"});
  }
  for (Py_ssize_t i = 0; i < count; ++i) look(PySequence_Fast_GET_ITEM(o, i), depth + 1, s);
}

void fill(PyObject* o, DType dtype, char*& to) {
  if (!is_nested(o)) {
    const ScalarBits bits = ScalarBits::of(to_scalar(o), dtype);
    std::memcpy(to, &bits.bits, static_cast<size_t>(size_of(dtype)));
    to += size_of(dtype);
    return;
  }
  const Py_ssize_t count = PySequence_Fast_GET_SIZE(o);
  for (Py_ssize_t i = 0; i < count; ++i) fill(PySequence_Fast_GET_ITEM(o, i), dtype, to);
}

Array from_parts(PyObject* o) {
  if (!is_nested(o)) {
    if (is_array(o)) return value_of(o);
    if (is_traced_number(o)) return traced_operand(o, std::nullopt);
    if (is_scalar(o)) return Array(to_scalar(o));
    if (std::optional<Array> like = array_like(o)) return *like;
    return from_buffer(o, std::nullopt);
  }
  Arrays parts;
  const Py_ssize_t count = PySequence_Fast_GET_SIZE(o);
  if (count == 0) return Array::from_bytes(nullptr, 0, Shape{0}, DType::float32);
  for (Py_ssize_t i = 0; i < count; ++i) parts.push_back(from_parts(PySequence_Fast_GET_ITEM(o, i)));
  DType common = parts[0].dtype();
  for (const Array& part : parts) common = promote(common, part.dtype());
  for (Array& part : parts)
    if (part.dtype() != common) part = astype(part, common);
  return stack(parts, 0);
}

Array from_nested(PyObject* o, std::optional<DType> wanted) {
  Survey s;
  look(o, 0, s);
  if (s.any_array) {
    const Array made = from_parts(o);
    return wanted && *wanted != made.dtype() ? astype(made, *wanted) : made;
  }
  DType dtype = DType::float32;
  if (wanted) {
    dtype = *wanted;
  } else if (s.any_number) {
    switch (s.kind) {
      case Scalar::Kind::boolean: dtype = DType::bool_; break;
      case Scalar::Kind::integer: dtype = s.wide ? DType::int64 : DType::int32; break;
      case Scalar::Kind::floating: dtype = DType::float32; break;
      case Scalar::Kind::complex: dtype = DType::complex64; break;
    }
  }
  Aval aval{Shape(std::span<const int64_t>(s.shape)), dtype};
  Storage storage = allocate_storage(aval);
  char* to = storage.data();
  fill(o, dtype, to);
  return make_evaluated(std::move(storage), std::move(aval));
}

}  // namespace

Array make_array(nb::handle source, nb::handle dtype) {
  std::optional<DType> wanted;
  if (dtype.is_valid() && !dtype.is_none()) {
    if (!is_dtype(dtype.ptr()))
      throw nb::type_error("array: dtype has to be a Dtype such as plait.core.float32, or None");
    wanted = to_dtype(dtype.ptr());
  }
  PyObject* o = source.ptr();
  const auto cast = [&](const Array& a) { return wanted && *wanted != a.dtype() ? astype(a, *wanted) : a; };
  if (is_array(o)) return cast(value_of(o));
  if (is_traced_number(o)) return wanted ? traced_constant(o, *wanted) : traced_operand(o, std::nullopt);
  if (is_scalar(o)) {
    const Scalar s = to_scalar(o);
    return Array(s, wanted.value_or(s.default_dtype()));
  }
  if (is_nested(o)) return from_nested(o, wanted);
  if (o == Py_None) throw nb::type_error("array: cannot make one from None");
  if (std::optional<Array> like = array_like(source)) return cast(*like);
  if (has_buffer(o)) return from_buffer(source, wanted);
  throw_bad_element(o);
}

}  // namespace plait::python
