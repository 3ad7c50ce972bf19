#include "ops/prelude.h"

namespace plait {
namespace {

DType working(DType d) { return is_half(d) ? DType::float32 : at_least_float(d); }

bool nothing_along(const Array& a, const std::vector<int>& axes) {
  return std::any_of(axes.begin(), axes.end(), [&](int axis) { return a.shape()[axis] == 0; });
}

}  // namespace

// `precise` asks for float32 in between, which is always so here: fused, it costs nothing.
Array softmax(const Array& a, const Axes& axis, bool) {
  const std::vector<int> axes = checked_axes("softmax", axis, a.rank());
  if (axes.empty()) return ones_like(a);  // each element alone
  const DType out = at_least_float(a.dtype());
  if (nothing_along(a, axes)) return converted(a, out);
  const Array x = converted(a, working(a.dtype()));
  const Array shifted = exp(subtract(x, stop_gradient(max(x, axes, true))));  // the largest exponent is 0
  return converted(divide(shifted, sum(shifted, axes, true)), out);
}

Array logsumexp(const Array& a, const Axes& axis, bool keepdims) {
  const std::vector<int> axes = checked_axes("logsumexp", axis, a.rank());
  const Array x = converted(a, working(a.dtype()));
  const Array largest = stop_gradient(max(x, axes, true));
  const Array offset = where(isfinite(largest), largest, zeros_like(largest));  // inf - inf would be NaN
  const Array y = add(log(sum(exp(subtract(x, offset)), axes, true)), offset);
  return converted(keepdims ? y : squeeze(y, axes), at_least_float(a.dtype()));
}

void register_softmax(OpRegistry& ops) {
  ops.function("softmax")
      .signature(
          "(a: array, /, axis: None | int | Sequence[int] = None, *, precise: bool = False, stream: StreamOrDevice = None) -> array")
      .summary("exp(a) / sum(exp(a)) along axes, computed without overflow.")
      .details(
          "axis: None for all axes, one, or several. Dtype: that of a, float32 for integers, except that one over no axes keeps the dtype; 16-bit floats are computed in float32. Errors: ValueError for an axis that does not exist.")
      .oracle("scipy.special.softmax(a, axis) if a.size else a")
      .sample("(2, 3)", "axis=-1")
      .sample("(2, 3, 4)", "axis=1")
      .sample("(2, 3)", "axis=None")
      .sample("()", "axis=None")
      .sample("(0,)", "axis=0")
      .rejects("(3,)", "axis=1", "ValueError");
  ops.function("logsumexp")
      .signature(
          "(a: array, /, axis: None | int | Sequence[int] = None, keepdims: bool = False, *, stream: StreamOrDevice = None) -> array")
      .method(
          "(axis: int | Sequence[int] | None = None, keepdims: bool = False, *, stream: StreamOrDevice = None) -> array")
      .summary("log(sum(exp(a))) along axes, computed without overflow.")
      .details(
          "Dtype: float32 for integers and bool. Errors: ValueError for an axis that does not exist or has nothing.")
      .oracle("scipy.special.logsumexp(a, axis=axis, keepdims=keepdims)")
      .sample("(2, 3)", "axis=-1")
      .sample("(2, 3, 4)", "axis=(0, 2), keepdims=True")
      .sample("()", "axis=None")
      .rejects("(0,)", "axis=None", "ValueError");
}

}  // namespace plait
