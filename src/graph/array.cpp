#include "plait/array.h"

#include <cstring>

#include "graph/core_attrs.h"
#include "graph/elementwise.h"
#include "graph/registry.h"

namespace plait {

Array::Array(Scalar value) : Array(value, value.default_dtype()) {}

Array::Array(Scalar value, DType dtype) {
  static const OpHandle op("constant");
  *this = op(ConstantAttrs{value, dtype}, {});
}

Array Array::from_bytes(const void* data, int64_t bytes, const Shape& shape, DType dtype) {
  const Aval aval{shape, dtype};
  for (const Dim& extent : shape)
    if (extent.value() < 0)
      throw ShapeError({.op = "array", .got = "shape " + to_string(shape), .accepts = "extents of 0 and more"});
  int64_t need = 0;
  const bool counted = !__builtin_mul_overflow(shape.count_value(), static_cast<int64_t>(size_of(dtype)), &need);
  if (!counted || bytes != need)
    throw ShapeError(
        {.op = "array",
         .got = std::to_string(bytes) + " bytes for shape " + to_string(shape) + " of " + std::string(name_of(dtype)),
         .accepts = counted ? std::to_string(need) + " bytes" : "a shape of less than 2**63 bytes"});
  Storage storage = allocate_storage(aval);
  if (bytes > 0) std::memcpy(storage.data(), data, static_cast<size_t>(bytes));
  return make_evaluated(std::move(storage), aval);
}

const Shape& Array::shape() const {
  check_internal(defined(), "an array without a value was asked for its shape");
  return node()->avals[index_].shape;
}

DType Array::dtype() const {
  check_internal(defined(), "an array without a value was asked for its dtype");
  return node()->avals[index_].dtype;
}

Dim Array::dim(int axis) const {
  const int n = rank();
  if (axis < -n || axis >= n)
    throw AxisError({.op = "dim",
                     .got = "axis " + std::to_string(axis) + " does not exist in shape " + to_string(shape()),
                     .accepts = std::to_string(-n) + " to " + std::to_string(n - 1)});
  return shape()[static_cast<size_t>(axis < 0 ? axis + n : axis)];
}

void Array::eval() const { plait::eval(std::span(this, 1)); }

bool Array::is_evaluated() const { return node_ && node()->done(); }

void Array::read_item(DType dtype, void* out) const {
  if (size() != 1)
    throw ShapeError(
        {.op = "item", .got = "an array of shape " + to_string(shape()), .accepts = "exactly one element"});
  read_all(dtype, out);
}

void Array::read_all(DType want, void* out) const {
  if (want != dtype())
    throw DTypeError({.op = "read",
                      .got = "an array of " + std::string(name_of(dtype())) + " read as " + std::string(name_of(want)),
                      .accepts = "the array's own type",
                      .hint = "astype converts"});
  if (size() == 0) return;
  const Storage* storage = &evaluated_storage(*this);
  Array copy;
  if (!storage->row_major) {
    static const OpHandle contiguous("contiguous");
    copy = contiguous({*this});
    storage = &evaluated_storage(copy);
  }
  std::memcpy(out, storage->data(), static_cast<size_t>(nbytes()));
}

void eval(std::span<const Array> arrays) { evaluator().eval(arrays); }
void async_eval(std::span<const Array> arrays) { evaluator().async_eval(arrays); }

Array beside(Scalar number, const Array& like) { return Array(number, number.dtype_with(like.dtype())); }

#define PLAIT_OPERATOR(symbol, name)                      \
  Array operator symbol(const Array& a, const Array& b) { \
    static const OpHandle op(name);                       \
    return elementwise(*op, {a, b});                      \
  }
PLAIT_OPERATOR(+, "add")
PLAIT_OPERATOR(-, "subtract")
PLAIT_OPERATOR(*, "multiply")
PLAIT_OPERATOR(/, "divide")
PLAIT_OPERATOR(==, "equal")
PLAIT_OPERATOR(!=, "not_equal")
PLAIT_OPERATOR(<, "less")
PLAIT_OPERATOR(<=, "less_equal")
PLAIT_OPERATOR(>, "greater")
PLAIT_OPERATOR(>=, "greater_equal")
#undef PLAIT_OPERATOR

Array operator-(const Array& a) {
  static const OpHandle op("negative");
  return elementwise(*op, {a});
}

}  // namespace plait
