#include "ops/prelude.h"

namespace plait {
namespace {

// Sums and products of narrow integers are taken in 32 bits.
DType wide(DType d) {
  if (d == DType::bool_ || d == DType::int8 || d == DType::int16) return DType::int32;
  return d == DType::uint8 || d == DType::uint16 ? DType::uint32 : d;
}

const char* check_sum(const ReduceAttrs& attrs, std::span<const Aval> in) {
  if (wide(in[0].dtype) != in[0].dtype) return "32 bits or more, or floats";
  return are_sorted_axes(attrs.axes, in[0].shape.rank()) ? nullptr : "axes of the array, sorted and each once";
}

Grads vjp_sum(const ReduceAttrs& attrs, const VjpArgs& at) {
  const Array g = attrs.keepdims ? at.cotangent() : expand_dims(at.cotangent(), attrs.axes);
  return {broadcast_to(g, at.input_shape(0))};
}

Arrays jvp_sum(const ReduceAttrs& attrs, const JvpArgs& at) { return {sum(at.tangent(0), attrs.axes, attrs.keepdims)}; }

}  // namespace

Array sum(const Array& a, const Axes& axis, bool keepdims) {
  static const OpHandle op("sum");
  const Array x = converted(a, wide(a.dtype()));
  const ReduceAttrs attrs{checked_axes("sum", axis, a.rank()), keepdims};
  return attrs.axes.empty() ? x : op(attrs, {x});
}

void register_sum(OpRegistry& ops) {
  ops.reduction("sum", ir::Op::reduce_sum)
      .summary("Sum along axes; 16-bit floats are summed in float32, narrow integers in 32 bits.")
      .input("a")
      .check(check_sum)
      .vjp(vjp_sum)
      .jvp(jvp_sum);
  ops.function("sum")
      .signature(
          "(a: array, /, axis: None | int | Sequence[int] = None, keepdims: bool = False, *, stream: StreamOrDevice = None) -> array")
      .method(
          "(axis: int | Sequence[int] | None = None, keepdims: bool = False, *, stream: StreamOrDevice = None) -> array")
      .summary("Sum along axes; 16-bit floats are summed in float32, narrow integers in 32 bits.")
      .details(
          "axis: None for all axes, one, or several; keepdims leaves them with extent 1. Errors: ValueError for an axis that does not exist.")
      .oracle("np.sum(a, axis=axis, keepdims=keepdims)")
      .sample("(2, 3, 4)", "axis=None")
      .sample("(2, 3, 4)", "axis=-1")
      .sample("(2, 3, 4)", "axis=(0, 2), keepdims=True")
      .sample("(2, 3, 4)", "axis=1")
      .sample("()", "axis=None")
      .rejects("(2, 3)", "axis=2", "ValueError");
}

}  // namespace plait
