#include "ops/limits.h"
#include "ops/prelude.h"

namespace plait {

Array nan_to_num(const Array& a, double nan, std::optional<double> posinf, std::optional<double> neginf) {
  if (a.dtype() == DType::complex64)
    throw DTypeError({.op = "nan_to_num", .got = "complex64", .accepts = "real dtypes", .where = here()});
  if (!is_inexact(a.dtype())) return a;
  const auto number = [&](double v) { return Array(Scalar(v), a.dtype()); };
  const Array numbers = where(isnan(a), number(nan), a);
  const Array bounded = where(isposinf(a), number(posinf.value_or(largest_finite(a.dtype()))), numbers);
  return where(isneginf(a), number(neginf.value_or(-largest_finite(a.dtype()))), bounded);
}

void register_nan_to_num(OpRegistry& ops) {
  ops.function("nan_to_num")
      .signature(
          "(a: scalar | array, nan: float = 0, posinf: float | None = None, neginf: float | None = None, *, stream: StreamOrDevice = None) -> array")
      .summary("NaN and infinities replaced by numbers.")
      .details("posinf, neginf: the dtype's largest and lowest finite value when None. Errors: ValueError for complex.")
      .oracle("np.nan_to_num(a, nan=nan, posinf=posinf or largest, neginf=neginf or -largest)")
      .sample("[nan, inf, -inf, 1.0]", "nan=0.0, posinf=None, neginf=None")
      .sample("[nan, inf, -inf, 1.0]", "nan=2.0, posinf=3.0, neginf=-4.0")
      .sample("(2, 3)")
      .sample("()");
}

}  // namespace plait
