#include <cmath>

#include "ops/prelude.h"
#include "ops/random/draw.h"

namespace plait {
namespace random {
namespace {

double largest_below_one(DType dtype) {
  switch (dtype) {
    case DType::float16: return 1 - std::ldexp(1.0, -11);
    case DType::bfloat16: return 1 - std::ldexp(1.0, -8);
    default: return 1 - std::ldexp(1.0, -24);
  }
}

}  // namespace

DType checked_float(std::string_view op, std::optional<DType> dtype) {
  const DType d = dtype.value_or(DType::float32);
  if (!is_floating(d))
    throw DTypeError(
        {.op = std::string(op), .got = "dtype " + std::string(name_of(d)), .accepts = "real floats", .where = here()});
  return d;
}

void check_stretches(std::string_view op, const Shape& from, const Shape& to) {
  if (!(broadcast_shapes(op, from, to) == to))
    throw ShapeError({.op = std::string(op),
                      .got = "values of shape " + to_string(to) + " for parameters of shape " + to_string(from),
                      .accepts = "a shape to which the parameters broadcast",
                      .where = here()});
}

Array unit_interval(std::string_view op, const Shape& shape, DType dtype, const std::optional<Array>& key) {
  const Array u = converted(words(op, shape, key), DType::float32) * std::ldexp(1.0, -32);
  return minimum(u, Array(largest_below_one(dtype)));
}

Array symmetric_interval(std::string_view op, const Shape& shape, const std::optional<Array>& key) {
  return unit_interval(op, shape, DType::float32, key) * 2.0 - largest_below_one(DType::float32);
}

Array uniform(const Array& low, const Array& high, const Shape& shape, std::optional<DType> dtype,
              const std::optional<Array>& key) {
  const DType out = checked_float("random.uniform", dtype);
  const Array from = converted(low, out), range = converted(high, out) - from;
  check_stretches("random.uniform", range.shape(), shape);
  if (out == DType::float64)
    return converted(words("random.uniform", shape, key), out) * std::ldexp(1.0, -32) * range + from;
  return converted(unit_interval("random.uniform", shape, out, key), out) * range + from;
}

}  // namespace random

void register_uniform(OpRegistry& ops) {
  ops.function("uniform")
      .module("core.random")
      .signature(
          "(low: scalar | array = 0, high: scalar | array = 1, shape: Sequence[int] = [], dtype: Dtype | None = float32, key: array | None = None, "
          "stream: StreamOrDevice = None) -> array")
      .summary("Numbers evenly spread from low to high, without high where rounding allows.")
      .details(
          "shape: to which low and high broadcast. dtype: a real float. key: None draws from random.state. Each number comes from 32 random bits. "
          "Errors: ValueError for another dtype, a shape that the bounds do not broadcast to, what is no key.")
      .sample("(3,), (), key(1)", "shape=(2, 3), dtype=float64")
      .rejects("", "dtype=int32", "ValueError")
      .rejects("", "shape=(-1,)", "ValueError");
}

}  // namespace plait
