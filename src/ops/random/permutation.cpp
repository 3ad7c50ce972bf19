#include "ops/prelude.h"
#include "ops/random/draw.h"

namespace plait {
namespace random {

Array permutation(const Array& x, int axis, const std::optional<Array>& key) {
  if (x.rank() > 0) {
    const int at = checked_axis("random.permutation", axis, x.rank());
    return take(x, argsort(words("random.permutation", {x.shape()[at]}, key), -1), at);
  }
  if (!is_integer(x.dtype()))
    throw ArgumentError({.op = "random.permutation",
                         .got = "a number of dtype " + std::string(name_of(x.dtype())),
                         .accepts = "an integer, or an array with an axis",
                         .where = here()});
  return argsort(words("random.permutation", {converted(x, DType::int64).item<int64_t>()}, key), -1);
}

}  // namespace random

void register_permutation(OpRegistry& ops) {
  ops.function("permutation")
      .module("core.random")
      .signature("(x: int | array, axis: int = 0, key: array | None = None, stream: StreamOrDevice = None) -> array")
      .summary("The slices of x along an axis in random order; for a whole number the numbers below it.")
      .details(
          "Dtype: of x; uint32 for a number. Errors: ValueError for a negative number or what is no key, IndexError for an axis that does not exist.")
      .sample("(5, 2), key(1)", "axis=0")
      .sample("(2, 4), key(2)", "axis=-1")
      .rejects("", "x=-1", "ValueError")
      .rejects("(2, 3)", "axis=2", "AxisError");
}

}  // namespace plait
