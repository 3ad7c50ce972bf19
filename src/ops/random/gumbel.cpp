#include "ops/prelude.h"
#include "ops/random/draw.h"

namespace plait {
namespace random {

Array gumbel(const Shape& shape, std::optional<DType> dtype, const std::optional<Array>& key) {
  const DType out = checked_float("random.gumbel", dtype);
  return negative(log(negative(log(uniform(0, 1, shape, out, key)))));
}

}  // namespace random

void register_gumbel(OpRegistry& ops) {
  ops.function("gumbel")
      .module("core.random")
      .signature(
          "(shape: Sequence[int] = [], dtype: Dtype | None = float32, key: array | None = None, stream: StreamOrDevice = None) -> array")
      .summary("Numbers of the standard Gumbel distribution: -log(-log(u)) for u evenly spread from 0 to 1.")
      .details("dtype: a real float. Errors: ValueError for another dtype, shapes, keys.")
      .not_differentiable("it has no array operand")
      .sample("key(1)", "shape=(2, 3), dtype=float32")
      .rejects("", "dtype=int32", "ValueError");
}

}  // namespace plait
