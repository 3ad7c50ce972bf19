#include "ops/prelude.h"
#include "ops/random/draw.h"

namespace plait {
namespace random {

Array laplace(const Shape& shape, std::optional<DType> dtype, double loc, double scale,
              const std::optional<Array>& key) {
  const DType out = checked_float("random.laplace", dtype);
  const Array u = symmetric_interval("random.laplace", shape, key);
  Array x = converted(sign(u) * log1p(negative(abs(u))), out);
  if (scale != 1) x = x * scale;
  return loc == 0 ? x : x + loc;
}

}  // namespace random

void register_laplace(OpRegistry& ops) {
  ops.function("laplace")
      .module("core.random")
      .signature(
          "(shape: Sequence[int] = [], dtype: Dtype | None = float32, loc: float = 0.0, scale: float = 1.0, key: array | None = None, stream: "
          "StreamOrDevice = None) -> array")
      .summary("Numbers of the Laplace distribution with mean loc and diversity scale.")
      .details("dtype: a real float. Errors: ValueError for another dtype, shapes, keys.")
      .not_differentiable("it has no array operand")
      .sample("key(1)", "shape=(2, 3), dtype=float32, loc=1.0, scale=2.0")
      .rejects("", "dtype=int32", "ValueError");
}

}  // namespace plait
