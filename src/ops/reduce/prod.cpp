#include "ops/prelude.h"

namespace plait {
namespace {

// Sums and products of narrow integers are taken in 32 bits.
DType wide(DType d) {
  if (d == DType::bool_ || d == DType::int8 || d == DType::int16) return DType::int32;
  return d == DType::uint8 || d == DType::uint16 ? DType::uint32 : d;
}

// The product of all other elements along the axes, also where some are zero: each zero is replaced by one, and counts.
Array others(const ReduceAttrs& attrs, const Array& x) {
  const Array zero = equal(x, zeros_like(x));
  const Array filled = where(zero, ones_like(x), x);
  const Array zeros_there = sum(astype(zero, DType::int32), attrs.axes, true);
  const Array product = prod(filled, attrs.axes, true);
  const Array none = equal(zeros_there, zeros_like(zeros_there));
  const Array single = logical_and(equal(zeros_there, ones_like(zeros_there)), zero);
  return where(logical_or(none, single), divide(product, filled), zeros_like(x));
}

const char* check_prod(const ReduceAttrs& attrs, std::span<const Aval> in) {
  if (wide(in[0].dtype) != in[0].dtype) return "32 bits or more, or floats";
  return are_sorted_axes(attrs.axes, in[0].shape.rank()) ? nullptr : "axes of the array, sorted and each once";
}

Grads vjp_prod(const ReduceAttrs& attrs, const VjpArgs& at) {
  const Array g = attrs.keepdims ? at.cotangent() : expand_dims(at.cotangent(), attrs.axes);
  return {multiply(g, others(attrs, at.input(0)))};
}

Arrays jvp_prod(const ReduceAttrs& attrs, const JvpArgs& at) {
  return {sum(multiply(at.tangent(0), others(attrs, at.input(0))), attrs.axes, attrs.keepdims)};
}

}  // namespace

Array prod(const Array& a, const Axes& axis, bool keepdims) {
  static const OpHandle op("prod");
  const Array x = converted(a, wide(a.dtype()));
  const ReduceAttrs attrs{checked_axes("prod", axis, a.rank()), keepdims};
  return attrs.axes.empty() ? x : op(attrs, {x});
}

void register_prod(OpRegistry& ops) {
  ops.reduction("prod", ir::Op::reduce_prod)
      .summary("Product along axes; narrow integers are multiplied in 32 bits.")
      .input("a")
      .check(check_prod)
      .vjp(vjp_prod)
      .jvp(jvp_prod);
  ops.function("prod")
      .signature(
          "(a: array, /, axis: None | int | Sequence[int] = None, keepdims: bool = False, *, stream: StreamOrDevice = None) -> array")
      .method(
          "(axis: int | Sequence[int] | None = None, keepdims: bool = False, *, stream: StreamOrDevice = None) -> array")
      .summary("Product along axes; narrow integers are multiplied in 32 bits.")
      .details(
          "axis: None for all axes, one, or several; keepdims leaves them with extent 1. Errors: ValueError for an axis that does not exist.")
      .oracle("np.prod(a, axis=axis, keepdims=keepdims)")
      .sample("(2, 3, 4)", "axis=None")
      .sample("(2, 3, 4)", "axis=-1")
      .sample("(2, 3, 4)", "axis=(0, 2), keepdims=True")
      .sample("(2, 3, 4)", "axis=1")
      .sample("()", "axis=None")
      .rejects("(2, 3)", "axis=2", "ValueError");
}

}  // namespace plait
