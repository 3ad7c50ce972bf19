#include "ops/prelude.h"
#include "ops/view/slice.h"

namespace plait {

Array median(const Array& a, const Axes& axis, bool keepdims) {
  const std::vector<int> axes = checked_axes("median", axis, a.rank());
  const DType out = at_least_float(a.dtype());
  std::vector<int> order;
  for (int i = 0; i < a.rank(); ++i)
    if (!std::binary_search(axes.begin(), axes.end(), i)) order.push_back(i);
  const int kept = static_cast<int>(order.size());
  order.insert(order.end(), axes.begin(), axes.end());
  const Array x = transpose(converted(a, is_half(out) ? DType::float32 : out), order);
  const Array rows = axes.empty() ? expand_dims(x, -1) : flatten(x, kept, -1);
  const Dim n = rows.dim(-1);
  if (n == 0)
    throw ShapeError({.op = "median",
                      .got = "an array of shape " + to_string(a.shape()) + " has nothing to look at",
                      .accepts = "at least one element",
                      .where = here()});
  const Array sorted = sort(rows, -1);
  const auto at = [&](Dim i) { return squeeze(slice_axis(sorted, kept, i, 1), kept); };
  const Array last = at(n - 1);
  const Array middle = multiply(add(at((n - 1) / 2), at(n / 2)), Array(Scalar(0.5), sorted.dtype()));
  const Array found = converted(where(isnan(last), last, middle), out);  // NaN is sorted behind all numbers
  return keepdims ? expand_dims(found, axes) : found;
}

void register_median(OpRegistry& ops) {
  ops.function("median")
      .signature(
          "(a: array, /, axis: None | int | Sequence[int] = None, keepdims: bool = False, *, stream: StreamOrDevice = None) -> array")
      .summary(
          "The middle of the sorted elements along axes, or the mean of the two in the middle; NaN when there is one.")
      .details(
          "axis: None for all axes, one, or several; keepdims leaves them with extent 1. Dtype: float32 for integers and bool. Errors: ValueError for an axis that does not exist or has nothing.")
      .oracle("np.median(a, axis=axis, keepdims=keepdims)")
      .sample("(5,)", "axis=None")
      .sample("(2, 4)", "axis=0, keepdims=True")
      .sample("(2, 3, 4)", "axis=(0, 2)")
      .sample("()", "axis=None")
      .rejects("(0,)", "axis=None", "ValueError")
      .rejects("(3,)", "axis=2", "ValueError");
}

}  // namespace plait
