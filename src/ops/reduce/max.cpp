#include "ops/prelude.h"

namespace plait {
namespace {

// The cotangent goes to the elements that equal the result, in equal parts.
Array shares(const ReduceAttrs& attrs, const Array& x, const Array& y) {
  const Array result = attrs.keepdims ? y : expand_dims(y, attrs.axes);
  const Array hit = astype(equal(x, result), x.dtype());
  return divide(hit, sum(hit, attrs.axes, true));
}

Grads vjp_max(const ReduceAttrs& attrs, const VjpArgs& at) {
  const Array g = attrs.keepdims ? at.cotangent() : expand_dims(at.cotangent(), attrs.axes);
  return {multiply(g, shares(attrs, at.input(0), at.output()))};
}

Arrays jvp_max(const ReduceAttrs& attrs, const JvpArgs& at) {
  return {sum(multiply(at.tangent(0), shares(attrs, at.input(0), at.output())), attrs.axes, attrs.keepdims)};
}

}  // namespace

Array max(const Array& a, const Axes& axis, bool keepdims) {
  static const OpHandle op("max");
  const ReduceAttrs attrs{checked_axes("max", axis, a.rank()), keepdims};
  for (int i : attrs.axes)
    if (a.shape()[i] == 0)
      throw ShapeError(
          {.op = "max",
           .got = "an array of shape " + to_string(a.shape()) + " has nothing along axis " + std::to_string(i),
           .accepts = "at least one element",
           .where = here()});
  return attrs.axes.empty() ? a : op(attrs, {a});
}

void register_max(OpRegistry& ops) {
  ops.reduction("max", ir::Op::reduce_max)
      .summary("Largest element along axes; NaN wins.")
      .input("a")
      .vjp(vjp_max)
      .jvp(jvp_max);
  ops.function("max")
      .signature(
          "(a: array, /, axis: None | int | Sequence[int] = None, keepdims: bool = False, *, stream: StreamOrDevice = None) -> array")
      .method(
          "(axis: int | Sequence[int] | None = None, keepdims: bool = False, *, stream: StreamOrDevice = None) -> array")
      .summary("Largest element along axes; NaN wins.")
      .details(
          "axis: None for all axes, one, or several; keepdims leaves them with extent 1. Errors: ValueError for an axis that does not exist.")
      .oracle("np.max(a, axis=axis, keepdims=keepdims)")
      .sample("(2, 3, 4)", "axis=None")
      .sample("(2, 3, 4)", "axis=-1")
      .sample("(2, 3, 4)", "axis=(0, 2), keepdims=True")
      .sample("(2, 3, 4)", "axis=1")
      .sample("()", "axis=None")
      .rejects("(2, 3)", "axis=2", "ValueError");
}

}  // namespace plait
