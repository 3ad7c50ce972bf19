// Conversions between Python arguments and the types of plait/ops.h.
#pragma once

#include <nanobind/nanobind.h>
#include <nanobind/stl/string_view.h>

#include <optional>

#include "array.h"
#include "casters.h"
#include "plait/array.h"
#include "plait/axes.h"
#include "plait/stream.h"

namespace plait::python {

/// A Python number; of one that a compiled function was given, the value at hand. Errors: RuntimeError when an integer needs more than 64 bits.
bool is_scalar(PyObject* o);
Scalar to_scalar(PyObject* o);
/// Whether an integer scalar is a value of an integer dtype; true for other scalars and dtypes.
bool fits(const Scalar& s, DType d);

/// A `scalar | array` argument, looked at when the call runs, so that a bad one gets a clear error.
struct Operand {
  nb::handle object;
  Operand() = default;
  Operand(nb::handle object) : object(object) {}  // NOLINT
};

/// The dtype that the arrays among the operands of one call meet in. Numbers and foreign arrays then follow it.
class OperandDType {
 public:
  void see(const Array& a);
  void see(const Operand& o);
  void see(const std::optional<Operand>& o) {
    if (o) see(*o);
  }
  Array convert(const Operand& o) const;
  std::optional<Array> convert(const std::optional<Operand>& o) const {
    return o ? std::optional<Array>(convert(*o)) : std::nullopt;
  }

 private:
  std::optional<DType> common_;
};

/// A number beside an array of dtype `beside`. Errors: ValueError when an integer does not fit.
Array scalar_beside(const Scalar& scalar, DType beside);
/// An operand alone.
Array to_array(const Operand& o);
/// An `int | array` argument. Errors: TypeError for anything else.
Array to_positions(const Operand& o);
/// Both operands of a binary operation.
std::pair<Array, Array> operands(PyObject* a, PyObject* b);
/// An object with __plait_array__ or __mlx_array__ as an array, or nothing.
std::optional<Array> array_like(nb::handle o);

Arrays to_arrays(const nb::args& args);
nb::object to_tuple(const Arrays& arrays);
nb::object to_list(const Arrays& arrays);
nb::object one_or_list(const Arrays& arrays);
nb::object one_or_tuple(const Arrays& arrays);
/// A named tuple of plait.core.linalg, "EighResult" and so on.
nb::object to_named(const char* name, const Arrays& arrays);
/// The same, or the array where it is a single one.
nb::object one_or_named(const char* name, const Arrays& arrays);
nb::object shape_tuple(const Shape& shape);

/// A `stream` argument: None, a Stream, a ThreadLocalStream, a Device or a DeviceType.
struct StreamArg {
  nb::handle object;  // checked to be one of these, or null for None
};
/// Errors: ValueError when the device is not there.
Stream resolve(StreamArg s);
class StreamGuard {
 public:
  explicit StreamGuard(StreamArg s) {
    if (s.object.is_valid()) [[unlikely]]
      scope_.emplace(resolve(s));
  }

 private:
  std::optional<StreamScope> scope_;
};
bool is_stream_like(PyObject* o);

/// The objects plait.core.float32 etc.
PyObject* dtype_object(DType d);  // borrowed
bool is_dtype(PyObject* o);
DType to_dtype(PyObject* o);

// Sequences of integers. False, without an error set, when the object is something else.
bool load_int(PyObject* o, int64_t& out);
bool load_ints(PyObject* o, std::vector<int64_t>& out);
bool load_arrays(PyObject* o, Arrays& out);

}  // namespace plait::python

namespace nanobind::detail {

template <>
struct type_caster<plait::python::Operand> {
  NB_TYPE_CASTER(plait::python::Operand, const_name("scalar | array"))
  bool from_python(handle src, uint32_t, cleanup_list*) noexcept {
    if (src.is_none()) return false;
    value.object = src;
    return true;
  }
  static handle from_cpp(const plait::python::Operand& o, rv_policy, cleanup_list*) noexcept {
    return o.object.inc_ref();
  }
};

template <>
struct type_caster<plait::python::StreamArg> {
  NB_TYPE_CASTER(plait::python::StreamArg, const_name("StreamOrDevice"))
  bool from_python(handle src, uint32_t, cleanup_list*) noexcept {
    if (src.is_none()) return true;
    value.object = src;
    return plait::python::is_stream_like(src.ptr());
  }
  static handle from_cpp(const plait::python::StreamArg& s, rv_policy, cleanup_list*) noexcept {
    return s.object.inc_ref();
  }
};

template <>
struct type_caster<plait::DType> {
  NB_TYPE_CASTER(plait::DType, const_name("Dtype"))
  bool from_python(handle src, uint32_t, cleanup_list*) noexcept {
    if (!plait::python::is_dtype(src.ptr())) return false;
    value = plait::python::to_dtype(src.ptr());
    return true;
  }
  static handle from_cpp(plait::DType d, rv_policy, cleanup_list*) noexcept {
    return handle(plait::python::dtype_object(d)).inc_ref();
  }
};

template <>
struct type_caster<plait::Arrays> {
  NB_TYPE_CASTER(plait::Arrays, const_name("list[array]"))
  bool from_python(handle src, uint32_t, cleanup_list*) { return plait::python::load_arrays(src.ptr(), value); }
  static handle from_cpp(const plait::Arrays& a, rv_policy, cleanup_list*) noexcept {
    return plait::python::to_list(a).release();
  }
};

template <>
struct type_caster<plait::Scalar> {
  NB_TYPE_CASTER(plait::Scalar, const_name("scalar"))
  bool from_python(handle src, uint32_t, cleanup_list*) {
    if (!plait::python::is_scalar(src.ptr())) return false;
    try {
      value = plait::python::to_scalar(src.ptr());
    } catch (const std::bad_alloc&) {
      throw;
    } catch (const std::exception&) {
      return false;
    }
    return true;
  }
  static handle from_cpp(const plait::Scalar&, rv_policy, cleanup_list*) noexcept { return none().release(); }
};

template <>
struct type_caster<plait::Axes> {
  NB_TYPE_CASTER(plait::Axes, const_name("None | int | Sequence[int]"))
  bool from_python(handle src, uint32_t, cleanup_list*);
  static handle from_cpp(const plait::Axes&, rv_policy, cleanup_list*) noexcept { return none().release(); }
};

template <>
struct type_caster<plait::Shape> {
  NB_TYPE_CASTER(plait::Shape, const_name("int | Sequence[int]"))
  bool from_python(handle src, uint32_t, cleanup_list*);
  static handle from_cpp(const plait::Shape& s, rv_policy, cleanup_list*) noexcept {
    return plait::python::shape_tuple(s).release();
  }
};

template <>
struct type_caster<plait::IntList> {
  NB_TYPE_CASTER(plait::IntList, const_name("int | Sequence[int]"))
  bool from_python(handle src, uint32_t, cleanup_list*);
  static handle from_cpp(const plait::IntList&, rv_policy, cleanup_list*) noexcept { return none().release(); }
};

template <>
struct type_caster<plait::IntOrInts> {
  NB_TYPE_CASTER(plait::IntOrInts, const_name("int | Sequence[int]"))
  bool from_python(handle src, uint32_t, cleanup_list*);
  static handle from_cpp(const plait::IntOrInts&, rv_policy, cleanup_list*) noexcept { return none().release(); }
};

}  // namespace nanobind::detail
