#include "ops/prelude.h"

namespace plait {
namespace {

// One number for each feature, the last axis of x.
void check_features(const char* op, const char* what, const Array& x, const std::optional<Array>& per_feature) {
  if (!per_feature || (per_feature->rank() == 1 && per_feature->dim(0) == x.dim(-1))) return;
  throw ShapeError({.op = op,
                    .got = std::string(what) + " of shape " + to_string(per_feature->shape()) + " for x of shape " +
                           to_string(x.shape()),
                    .accepts = "one number for each feature, " + to_string(Shape{x.dim(-1)}),
                    .where = here()});
}

// The result's dtype, which a weight may widen and a bias does not.
DType checked_result(const char* op, const Array& x, const std::optional<Array>& weight,
                     const std::optional<Array>& bias) {
  if (x.rank() == 0)
    throw ShapeError({.op = op, .got = "x of shape ()", .accepts = "at least one axis, the features", .where = here()});
  check_features(op, "a weight", x, weight);
  check_features(op, "a bias", x, bias);
  const DType out = weight ? promote(x.dtype(), weight->dtype()) : x.dtype();
  if (!is_floating(out))
    throw DTypeError({.op = op,
                      .got = "x and weight that promote to " + std::string(name_of(out)),
                      .accepts = "real floats",
                      .hint = "astype(float32) converts",
                      .where = here()});
  return out;
}

DType working(DType d) { return is_half(d) ? DType::float32 : d; }

// x / sqrt(mean(x * x) + eps) along the last axis.
Array unit_square(const Array& x, double eps) {
  return multiply(x, rsqrt(add(mean(square(x), -1, true), Array(Scalar(eps), x.dtype()))));
}

Array finished(Array y, const std::optional<Array>& weight, const std::optional<Array>& bias, DType out) {
  if (weight) y = multiply(y, converted(*weight, y.dtype()));
  if (bias) y = add(y, converted(*bias, y.dtype()));
  return converted(y, out);
}

}  // namespace

namespace fast {

Array layer_norm(const Array& x, const std::optional<Array>& weight, const std::optional<Array>& bias, double eps) {
  const DType out = checked_result("layer_norm", x, weight, bias);
  const Array wide = converted(x, working(out));
  return finished(unit_square(subtract(wide, mean(wide, -1, true)), eps), weight, bias, out);
}

Array rms_norm(const Array& x, const std::optional<Array>& weight, double eps) {
  const DType out = checked_result("rms_norm", x, weight, std::nullopt);
  return finished(unit_square(converted(x, working(out)), eps), weight, std::nullopt, out);
}

}  // namespace fast

void register_layer_norm(OpRegistry& ops) {
  ops.function("layer_norm")
      .module("core.fast")
      .signature(
          "(x: array, weight: array | None, bias: array | None, eps: float, *, stream: StreamOrDevice = None) -> array")
      .summary("(x - mean) / sqrt(variance + eps) along the last axis, times weight, plus bias.")
      .details(
          "Shapes: x (..., features), weight and bias (features,) or None -> the shape of x. Dtype: the one that x and weight promote to; 16-bit floats are computed in float32. Errors: ValueError for shapes that do not fit, and unless the dtype is a real float.\n"
          "Source: Ba et al., 2016, \"Layer Normalization\".")
      .oracle(
          "(x - np.mean(x, -1, keepdims=True)) / np.sqrt(np.var(x, -1, keepdims=True) + eps) * (1 if weight is None else weight) + (0 if bias is None else bias)")
      .sample("(2, 5), (5,), (5,)", "eps=1e-2")
      .sample("(2, 3, 4), (4,)", "bias=None, eps=1e-1")
      .sample("(5,)", "weight=None, bias=None, eps=1e-2")
      .rejects("()", "weight=None, bias=None, eps=1e-5", "ValueError")
      .rejects("(2, 4), (3,)", "bias=None, eps=1e-5", "ValueError")
      .rejects("(2, 4), (4,), (1, 4)", "eps=1e-5", "ValueError");
  ops.function("rms_norm")
      .module("core.fast")
      .signature("(x: array, weight: array | None, eps: float, *, stream: StreamOrDevice = None) -> array")
      .summary("x / sqrt(mean(x * x) + eps) along the last axis, times weight.")
      .details(
          "Shapes: x (..., features), weight (features,) or None -> the shape of x. Dtype: the one that x and weight promote to; 16-bit floats are computed in float32. Errors: ValueError for shapes that do not fit, and unless the dtype is a real float.\n"
          "Source: Zhang and Sennrich, 2019, \"Root Mean Square Layer Normalization\".")
      .oracle("x / np.sqrt(np.mean(np.square(x), -1, keepdims=True) + eps) * (1 if weight is None else weight)")
      .sample("(2, 5), (5,)", "eps=1e-2")
      .sample("(2, 3, 4)", "weight=None, eps=1e-1")
      .sample("(0, 3), (3,)", "eps=1e-5")
      .rejects("()", "weight=None, eps=1e-5", "ValueError")
      .rejects("(2, 4), (3,)", "eps=1e-5", "ValueError")
      .rejects("(2, 4), (2, 4)", "eps=1e-5", "ValueError");
}

}  // namespace plait
