#include "ops/prelude.h"

namespace plait {
namespace {

DType comparing(const Array& a, const Array& b) {
  const DType common = promote(a.dtype(), b.dtype());
  return is_half(common) ? DType::float32 : at_least_float(common);
}

Array both_nan(const Array& a, const Array& b) { return logical_and(isnan(a), isnan(b)); }

}  // namespace

Array isclose(const Array& a, const Array& b, double rtol, double atol, bool equal_nan) {
  const DType dtype = comparing(a, b);
  const Array x = converted(a, dtype), y = converted(b, dtype);
  const Array distance = abs(subtract(x, y));
  const Array size = abs(y);
  const auto number = [&](double v) { return Array(Scalar(v), size.dtype()); };
  const Array near = less_equal(distance, add(number(atol), multiply(number(rtol), size)));
  const Array finite = logical_and(isfinite(x), isfinite(y));  // an infinite tolerance would accept anything
  const Array close = logical_or(logical_and(near, finite), equal(x, y));
  return equal_nan ? logical_or(close, both_nan(x, y)) : close;
}

Array allclose(const Array& a, const Array& b, double rtol, double atol, bool equal_nan) {
  return all(isclose(a, b, rtol, atol, equal_nan), Axes(), false);
}

Array array_equal(const Array& a, const Array& b, bool equal_nan) {
  if (!(a.shape() == b.shape())) return Array(Scalar(false));
  Array same = equal(a, b);
  if (equal_nan && is_inexact(promote(a.dtype(), b.dtype()))) same = logical_or(same, both_nan(a, b));
  return all(same, Axes(), false);
}

void register_isclose(OpRegistry& ops) {
  ops.function("isclose")
      .signature(
          "(a: array, b: array, /, rtol: float = 1e-05, atol: float = 1e-08, *, equal_nan: bool = False, stream: StreamOrDevice = None) -> array")
      .summary("Whether |a - b| <= atol + rtol * |b|, element by element; equal infinities are close.")
      .details("equal_nan: whether NaN is close to NaN. Dtype: bool.")
      .oracle("np.isclose(a, b, rtol, atol, equal_nan=equal_nan)")
      .not_differentiable("the result is bool")
      .sample("(2, 3), (3,)", "rtol=1e-05, atol=1e-08, equal_nan=False")
      .sample("[1.0, 2.0], [1.0, 2.00001]", "rtol=1e-05, atol=1e-08, equal_nan=False")
      .rejects("(2,), (3,)", "", "ValueError");
  ops.function("allclose")
      .signature(
          "(a: array, b: array, /, rtol: float = 1e-05, atol: float = 1e-08, *, equal_nan: bool = False, stream: StreamOrDevice = None) -> array")
      .summary("Whether all elements are close: |a - b| <= atol + rtol * |b|.")
      .details("equal_nan: whether NaN is close to NaN. Shapes: 0-d. Dtype: bool.")
      .oracle("np.allclose(a, b, rtol, atol, equal_nan=equal_nan)")
      .not_differentiable("the result is bool")
      .sample("[1.0, 2.0], [1.0, 2.00001]", "rtol=1e-05, atol=1e-08, equal_nan=False")
      .sample("(2, 3), (2, 3)", "rtol=1e-05, atol=1e-08, equal_nan=False")
      .rejects("(2,), (3,)", "", "ValueError");
  ops.function("array_equal")
      .signature(
          "(a: scalar | array, b: scalar | array, equal_nan: bool = False, stream: StreamOrDevice = None) -> array")
      .summary("Whether both have one shape and equal elements.")
      .details("equal_nan: whether NaN equals NaN. Shapes: 0-d. Dtype: bool.")
      .oracle("np.array_equal(a, b, equal_nan)")
      .not_differentiable("the result is bool")
      .sample("(2, 3), (2, 3)", "equal_nan=False")
      .sample("(2,), (3,)", "equal_nan=False")
      .sample("[1.0], [1.0]", "equal_nan=True");
}

}  // namespace plait
