#include <numbers>

#include "ops/prelude.h"
#include "ops/random/draw.h"

namespace plait {
namespace random {

Array truncated_normal(const Array& lower, const Array& upper, const std::optional<Shape>& shape,
                       std::optional<DType> dtype, const std::optional<Array>& key) {
  const DType out = checked_float("random.truncated_normal", dtype);
  const Array low = converted(lower, out), high = converted(upper, out);
  const Shape to = shape ? *shape : broadcast_shapes("random.truncated_normal", low.shape(), high.shape());
  const Array root_two(Scalar(std::numbers::sqrt2), out);
  const Array u = uniform(erf(low / root_two), erf(high / root_two), to, out, key);
  return maximum(minimum(root_two * erfinv(u), high), low);
}

}  // namespace random

void register_truncated_normal(OpRegistry& ops) {
  ops.function("truncated_normal")
      .module("core.random")
      .signature(
          "(lower: scalar | array, upper: scalar | array, shape: Sequence[int] | None = None, dtype: Dtype | None = float32, key: array | None = None, "
          "stream: StreamOrDevice = None) -> array")
      .summary("Numbers of the standard normal distribution that lie from lower to upper.")
      .details(
          "shape: to which the bounds broadcast; None: their own. dtype: a real float. Errors: ValueError for another dtype, shapes, keys.")
      .sample("[-1.0, -0.5], [1.0, 2.0], key(1)", "shape=(3, 2), dtype=float64")
      .rejects("", "lower=0, upper=1, dtype=int32", "ValueError");
}

}  // namespace plait
