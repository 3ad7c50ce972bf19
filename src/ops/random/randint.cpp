#include "ops/prelude.h"
#include "ops/random/draw.h"

namespace plait {
namespace random {

Array randint(const Array& low, const Array& high, const Shape& shape, std::optional<DType> dtype,
              const std::optional<Array>& key) {
  const DType out = dtype.value_or(DType::int32);
  if (!is_in(out, dtypes::integer | dtypes::boolean))
    throw DTypeError({.op = "random.randint",
                      .got = "dtype " + std::string(name_of(out)),
                      .accepts = "integers and bool",
                      .where = here()});
  const Array drawn = converted(floor(uniform(low, high, shape, DType::float32, key)), out);
  return maximum(minimum(drawn, converted(high - 1, out)), converted(low, out));
}

}  // namespace random

void register_randint(OpRegistry& ops) {
  ops.function("randint")
      .module("core.random")
      .signature(
          "(low: scalar | array, high: scalar | array, shape: Sequence[int] = [], dtype: Dtype | None = int32, key: array | None = None, stream: "
          "StreamOrDevice = None) -> array")
      .summary("Whole numbers from low up to high, without high.")
      .details(
          "shape: to which low and high broadcast. dtype: an integer, or bool. They are float32 numbers rounded down: a range past 2**24 has gaps. "
          "Errors: ValueError as for uniform.")
      .not_differentiable("integers have no gradient")
      .sample("[0, 1], [5, 9], key(1)", "shape=(3, 2), dtype=int32")
      .rejects("", "low=0, high=5, dtype=float32", "ValueError");
}

}  // namespace plait
