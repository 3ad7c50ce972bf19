#include "elements.h"

#include <cstring>

namespace plait::python {
namespace {

template <class T>
T read(const char* at) {
  T value;
  std::memcpy(&value, at, sizeof value);
  return value;
}

PyObject* nested(const Storage& s, const Aval& aval, int axis, const char* at) {
  const int64_t bytes = size_of(aval.dtype);
  if (axis == aval.shape.rank()) return element(aval.dtype, at);
  const int64_t count = aval.shape[static_cast<size_t>(axis)].value();
  PyObject* list = PyList_New(count);
  if (!list) return nullptr;
  for (int64_t i = 0; i < count; ++i) {
    PyObject* item = nested(s, aval, axis + 1, at + i * s.strides[static_cast<size_t>(axis)] * bytes);
    if (!item) {
      Py_DECREF(list);
      return nullptr;
    }
    PyList_SET_ITEM(list, i, item);
  }
  return list;
}

void gather(const Storage& s, const Aval& aval, int axis, const char* at, char*& to) {
  const int64_t bytes = size_of(aval.dtype);
  if (axis == aval.shape.rank()) {
    std::memcpy(to, at, static_cast<size_t>(bytes));
    to += bytes;
    return;
  }
  for (int64_t i = 0; i < aval.shape[static_cast<size_t>(axis)].value(); ++i)
    gather(s, aval, axis + 1, at + i * s.strides[static_cast<size_t>(axis)] * bytes, to);
}

}  // namespace

PyObject* element(DType dtype, const char* at) {
  switch (dtype) {
    case DType::bool_: return PyBool_FromLong(*at != 0);
    case DType::uint8: return PyLong_FromLong(read<uint8_t>(at));
    case DType::uint16: return PyLong_FromLong(read<uint16_t>(at));
    case DType::uint32: return PyLong_FromUnsignedLong(read<uint32_t>(at));
    case DType::uint64: return PyLong_FromUnsignedLongLong(read<uint64_t>(at));
    case DType::int8: return PyLong_FromLong(read<int8_t>(at));
    case DType::int16: return PyLong_FromLong(read<int16_t>(at));
    case DType::int32: return PyLong_FromLong(read<int32_t>(at));
    case DType::int64: return PyLong_FromLongLong(read<int64_t>(at));
    case DType::float16: return PyFloat_FromDouble(static_cast<float>(read<float16_t>(at)));
    case DType::bfloat16: return PyFloat_FromDouble(static_cast<float>(read<bfloat16_t>(at)));
    case DType::float32: return PyFloat_FromDouble(read<float>(at));
    case DType::float64: return PyFloat_FromDouble(read<double>(at));
    case DType::complex64: {
      const auto c = read<complex64_t>(at);
      return PyComplex_FromDoubles(c.re, c.im);
    }
  }
  return nullptr;
}

PyObject* single_element(const char* what, const Array& a) {
  if (a.size() != 1)
    throw ShapeError({.op = what,
                      .got = "an array of shape " + to_string(a.shape()),
                      .accepts = "an array with exactly one element",
                      .hint = "tolist() gives all elements"});
  const Array held = a;  // the slot may be rebound while the GIL is away
  return element(held.dtype(), evaluated_storage(held).data());
}

PyObject* nested_list(const Array& a) {
  const Array held = a;
  const Storage& s = evaluated_storage(held);
  return nested(s, {held.shape(), held.dtype()}, 0, s.data());
}

PyObject* element_bytes(const Array& a) {
  const Array held = a;
  const Storage& s = evaluated_storage(held);
  if (s.row_major) return PyBytes_FromStringAndSize(s.data(), held.nbytes());
  PyObject* bytes = PyBytes_FromStringAndSize(nullptr, held.nbytes());
  if (!bytes) return nullptr;
  char* to = PyBytes_AS_STRING(bytes);
  gather(s, {held.shape(), held.dtype()}, 0, s.data(), to);
  return bytes;
}

}  // namespace plait::python
