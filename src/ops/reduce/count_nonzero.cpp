#include "ops/prelude.h"

namespace plait {

Array count_nonzero(const Array& a, const Axes& axis, bool keepdims) {
  return sum(converted(converted(a, DType::bool_), DType::int32), checked_axes("count_nonzero", axis, a.rank()),
             keepdims);
}

Arrays minmax(const Array& a, const Axes& axis, bool keepdims) {
  return {min(a, axis, keepdims), max(a, axis, keepdims)};
}

void register_count_nonzero(OpRegistry& ops) {
  ops.function("count_nonzero")
      .signature(
          "(a: array, /, *, axis: None | int | Sequence[int] = None, keepdims: bool = False, stream: StreamOrDevice = None) -> array")
      .summary("How many elements along axes are not zero.")
      .details("Dtype: int32. Errors: ValueError for an axis that does not exist.")
      .oracle("np.count_nonzero(a, axis=axis, keepdims=keepdims)")
      .not_differentiable("a count does not change smoothly")
      .sample("[0.0, 1.0, 2.0]", "axis=None")
      .sample("(2, 3)", "axis=0, keepdims=True")
      .sample("()", "axis=None")
      .sample("(0,)", "axis=0")
      .rejects("(2,)", "axis=1", "ValueError");
  ops.function("minmax")
      .signature(
          "(a: array, /, axis: None | int | Sequence[int] = None, keepdims: bool = False, *, stream: StreamOrDevice = None) -> tuple[array, array]")
      .summary("Smallest and largest elements along axes; NaN wins.")
      .details("axis: None for all axes, one, or several; keepdims leaves them with extent 1. Errors: ValueError.")
      .oracle("(np.min(a, axis=axis, keepdims=keepdims), np.max(a, axis=axis, keepdims=keepdims))")
      .sample("(2, 3)", "axis=None")
      .sample("(2, 3)", "axis=0, keepdims=True")
      .rejects("(0,)", "axis=None", "ValueError");
}

}  // namespace plait
