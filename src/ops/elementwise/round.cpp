#include <cmath>

#include "ops/prelude.h"

namespace plait {
namespace {

Array to_whole(const Array& a) {
  static const OpHandle op("rint");
  static const OpHandle join("make_complex");
  if (a.dtype() != DType::complex64) return elementwise(*op, {a});
  return elementwise(*join, {elementwise(*op, {real(a)}), elementwise(*op, {imag(a)})});
}

}  // namespace

Array round(const Array& a, int64_t decimals) {
  if (!is_inexact(a.dtype())) {
    if (decimals >= 0 || a.dtype() == DType::bool_) return a;
  } else if (decimals == 0) {
    return to_whole(a);
  }
  const DType compute = is_inexact(a.dtype()) ? a.dtype() : size_of(a.dtype()) < 4 ? DType::float32 : DType::float64;
  const Array scale(Scalar(std::pow(10.0, static_cast<double>(decimals < 0 ? -decimals : decimals))), compute);
  const Array x = converted(a, compute);
  const Array y =
      decimals < 0 ? multiply(to_whole(divide(x, scale)), scale) : divide(to_whole(multiply(x, scale)), scale);
  return converted(y, a.dtype());
}

void register_round(OpRegistry& ops) {
  ops.elementwise("rint")
      .summary("The nearest whole number, ties to even.")
      .input("a", dtypes::floating)
      .lower([](Val a) { return a.builder->unary(ir::Op::rint, a); })
      .not_differentiable("piecewise constant")
      .internal();
  ops.function("round")
      .signature("(a: array, /, decimals: int = 0, stream: StreamOrDevice = None) -> array")
      .method("(decimals: int = 0, *, stream: StreamOrDevice = None) -> array")
      .summary("Rounded to a number of decimals, ties to even; negative ones round before the point.")
      .details(
          "Shape: that of a. Dtype: that of a; integers stay unless decimals is negative. Errors: TypeError for what is no array.")
      .oracle("np.round(a, decimals)")
      .not_differentiable("piecewise constant")
      .sample("[0.5, 1.5, 2.5, -0.5]", "decimals=0")
      .sample("(2, 3)", "decimals=1")
      .sample("()", "decimals=0")
      .sample("(0,)", "decimals=0");
}

}  // namespace plait
