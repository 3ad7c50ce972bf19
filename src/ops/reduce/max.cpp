#include "ops/reduce/extreme.h"

namespace plait {

Array max(const Array& a, const Axes& axis, bool keepdims) {
  static const OpHandle op("max");
  return extreme(op, "max", a, axis, keepdims);
}

void register_max(OpRegistry& ops) {
  ops.reduction("max", ir::Op::reduce_max)
      .summary("Largest element along axes; NaN wins.")
      .input("a")
      .vjp(vjp_extreme)
      .jvp(jvp_extreme);
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
