#include <numbers>

#include "ops/prelude.h"
#include "ops/random/draw.h"

namespace plait {
namespace random {

Array normal(const Shape& shape, std::optional<DType> dtype, const std::optional<Array>& loc,
             const std::optional<Array>& scale, const std::optional<Array>& key) {
  const DType out = dtype.value_or(DType::float32);
  if (!is_inexact(out))
    throw DTypeError({.op = "random.normal",
                      .got = "dtype " + std::string(name_of(out)),
                      .accepts = "floats and complex64",
                      .where = here()});
  Array x;
  if (out == DType::complex64) {
    Shape pairs = shape;
    pairs.push_back(2);
    x = reshape(view(erfinv(symmetric_interval("random.normal", pairs, key)), out),
                shape);  // variances of 1/2 add up to 1
    if (scale) x = x * converted(*scale, out);
  } else {
    x = converted(erfinv(symmetric_interval("random.normal", shape, key)), out);
    const Array root_two(Scalar(std::numbers::sqrt2), out);
    x = x * (scale ? converted(*scale, out) * root_two : root_two);
  }
  return loc ? x + converted(*loc, out) : x;
}

}  // namespace random

void register_normal(OpRegistry& ops) {
  ops.function("normal")
      .module("core.random")
      .signature(
          "(shape: Sequence[int] = [], dtype: Dtype | None = float32, loc: scalar | array | None = None, scale: scalar | array | None = None, key: "
          "array | None = None, stream: StreamOrDevice = None) -> array")
      .summary("Numbers of the normal distribution with mean loc and standard deviation scale.")
      .details(
          "loc, scale: None for 0 and 1; they broadcast with shape. dtype: a float or complex64, whose parts have half the variance. key: None draws "
          "from random.state. Errors: ValueError for another dtype, shapes, keys.")
      .sample("(3,), (), key(1)", "shape=(2, 3), dtype=float64")
      .rejects("", "dtype=int32", "ValueError");
}

}  // namespace plait
