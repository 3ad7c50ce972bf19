#include "ops/prelude.h"

namespace plait {
namespace {

// true is larger than false; nothing at all is false for any, true for all: where each reduction starts.
Array reduce_bool(const char* name, const OpHandle& op, const Array& a, const Axes& axis, bool keepdims) {
  const ReduceAttrs attrs{checked_axes(name, axis, a.rank()), keepdims};
  const Array x = converted(a, DType::bool_);
  return attrs.axes.empty() ? x : op(attrs, {x});
}

}  // namespace

Array any(const Array& a, const Axes& axis, bool keepdims) {
  static const OpHandle op("max");
  return reduce_bool("any", op, a, axis, keepdims);
}

Array all(const Array& a, const Axes& axis, bool keepdims) {
  static const OpHandle op("min");
  return reduce_bool("all", op, a, axis, keepdims);
}

void register_any(OpRegistry& ops) {
  ops.function("any")
      .signature(
          "(a: array, /, axis: None | int | Sequence[int] = None, keepdims: bool = False, *, stream: StreamOrDevice = None) -> array")
      .method(
          "(axis: int | Sequence[int] | None = None, keepdims: bool = False, *, stream: StreamOrDevice = None) -> array")
      .summary("Whether some element along axes is not zero.")
      .details(
          "axis: None for all axes, one, or several. Dtype: bool. Errors: ValueError for an axis that does not exist.")
      .oracle("np.any(a, axis=axis, keepdims=keepdims)")
      .not_differentiable("the result is bool")
      .sample("(2, 3)", "axis=None")
      .sample("(2, 3)", "axis=0, keepdims=True")
      .sample("()", "axis=None")
      .sample("(0, 3)", "axis=0")
      .rejects("(2, 3)", "axis=2", "ValueError");
  ops.function("all")
      .signature(
          "(a: array, /, axis: None | int | Sequence[int] = None, keepdims: bool = False, *, stream: StreamOrDevice = None) -> array")
      .method(
          "(axis: int | Sequence[int] | None = None, keepdims: bool = False, *, stream: StreamOrDevice = None) -> array")
      .summary("Whether every element along axes is not zero.")
      .details(
          "axis: None for all axes, one, or several. Dtype: bool. Errors: ValueError for an axis that does not exist.")
      .oracle("np.all(a, axis=axis, keepdims=keepdims)")
      .not_differentiable("the result is bool")
      .sample("(2, 3)", "axis=None")
      .sample("(2, 3)", "axis=0, keepdims=True")
      .sample("()", "axis=None")
      .sample("(0, 3)", "axis=0")
      .rejects("(2, 3)", "axis=2", "ValueError");
}

}  // namespace plait
