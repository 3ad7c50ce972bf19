#include <cmath>

#include "ops/create/iota.h"
#include "ops/prelude.h"
#include "plait/more_ops.h"

namespace plait {
namespace {

Dim extent_of(const Array& a, const std::vector<int>& axes) {
  Dim n = 1;
  for (int axis : axes) n *= a.shape()[axis];
  return n;
}

// 16-bit floats are averaged in float32: their sum may pass what they can hold.
DType working(DType d) { return is_half(d) ? DType::float32 : at_least_float(d); }

DType real_of(DType d) { return d == DType::complex64 ? DType::float32 : d; }

Array mean_in(const Array& x, const std::vector<int>& axes, bool keepdims) {
  return divide(sum(x, axes, keepdims), extent(extent_of(x, axes), x.dtype()));
}

// n - correction, or 0 where that is more; the part behind the point apart, since extents are whole.
Array divisor(const char* op, Dim n, double correction, DType dtype) {
  if (!std::isfinite(correction) || std::abs(correction) > 0x1p53)
    throw ArgumentError({.op = op,
                         .got = "a correction of " + std::to_string(correction),
                         .accepts = "a finite number",
                         .where = here()});
  const double whole = std::floor(correction);
  n = n - static_cast<int64_t>(whole);
  const Array left = extent(n < 0 ? Dim(0) : n, dtype);
  if (correction == whole) return left;
  return maximum(subtract(left, Array(Scalar(correction - whole), dtype)), Array(Scalar(0.0), dtype));
}

// The mean square distance from the mean, in the working dtype.
Array variance(const char* op, const Array& a, const Axes& axis, bool keepdims, double correction) {
  const std::vector<int> axes = checked_axes(op, axis, a.rank());
  const Array x = converted(a, working(a.dtype()));
  const Array off = subtract(x, mean_in(x, axes, true));
  const Array squares = x.dtype() == DType::complex64 ? square(abs(off)) : square(off);
  return divide(sum(squares, axes, keepdims), divisor(op, extent_of(x, axes), correction, squares.dtype()));
}

DType spread_dtype(const Array& a) { return real_of(at_least_float(a.dtype())); }

}  // namespace

Array mean(const Array& a, const Axes& axis, bool keepdims) {
  const std::vector<int> axes = checked_axes("mean", axis, a.rank());
  return converted(mean_in(converted(a, working(a.dtype())), axes, keepdims), at_least_float(a.dtype()));
}

Array corrected_var(const Array& a, const Axes& axis, bool keepdims, double correction) {
  return converted(variance("var", a, axis, keepdims, correction), spread_dtype(a));
}

Array corrected_std(const Array& a, const Axes& axis, bool keepdims, double correction) {
  return converted(sqrt(variance("std", a, axis, keepdims, correction)), spread_dtype(a));
}

Array var(const Array& a, const Axes& axis, bool keepdims, int64_t ddof) {
  return corrected_var(a, axis, keepdims, static_cast<double>(ddof));
}

Array std(const Array& a, const Axes& axis, bool keepdims, int64_t ddof) {
  return corrected_std(a, axis, keepdims, static_cast<double>(ddof));
}

void register_mean(OpRegistry& ops) {
  ops.function("mean")
      .signature(
          "(a: array, /, axis: None | int | Sequence[int] = None, keepdims: bool = False, *, stream: StreamOrDevice = None) -> array")
      .method(
          "(axis: int | Sequence[int] | None = None, keepdims: bool = False, *, stream: StreamOrDevice = None) -> array")
      .summary("Arithmetic mean along axes; 16-bit floats are averaged in float32.")
      .details(
          "axis: None for all axes, one, or several; keepdims leaves them with extent 1. Dtype: float32 for integers and bool. Errors: ValueError for an axis that does not exist.")
      .oracle("np.mean(a, axis=axis, keepdims=keepdims)")
      .sample("(2, 3, 4)", "axis=None")
      .sample("(2, 3, 4)", "axis=-1, keepdims=True")
      .sample("(2, 3, 4)", "axis=(0, 2)")
      .sample("()", "axis=None")
      .rejects("(2, 3)", "axis=2", "ValueError");
  ops.function("var")
      .signature(
          "(a: array, /, axis: None | int | Sequence[int] = None, keepdims: bool = False, ddof: int = 0, *, stream: StreamOrDevice = None) -> array")
      .method(
          "(axis: int | Sequence[int] | None = None, keepdims: bool = False, ddof: int = 0, *, correction: int | float | None = None, stream: StreamOrDevice = None) -> array")
      .summary("Variance along axes: the mean square distance from the mean.")
      .details(
          "ddof: taken off the number of elements in the divisor; correction, by keyword, is the same for any number and used instead of it. Dtype: as mean, float32 for complex. Errors: ValueError.")
      .oracle("np.var(a, axis=axis, keepdims=keepdims, ddof=ddof)")
      .sample("(2, 3, 4)", "axis=None, ddof=0")
      .sample("(2, 3, 4)", "axis=-1, keepdims=True, ddof=1")
      .sample("(2, 3, 4)", "axis=(0, 2), ddof=0")
      .rejects("(2, 3)", "axis=2", "ValueError");
  ops.function("std")
      .signature(
          "(a: array, /, axis: None | int | Sequence[int] = None, keepdims: bool = False, ddof: int = 0, *, stream: StreamOrDevice = None) -> array")
      .method(
          "(axis: int | Sequence[int] | None = None, keepdims: bool = False, ddof: int = 0, *, correction: int | float | None = None, stream: StreamOrDevice = None) -> array")
      .summary("Standard deviation along axes: the root of the variance.")
      .details(
          "ddof: taken off the number of elements in the divisor; correction, by keyword, is the same for any number and used instead of it. Dtype: as mean, float32 for complex. Errors: ValueError.")
      .oracle("np.std(a, axis=axis, keepdims=keepdims, ddof=ddof)")
      .sample("(2, 3, 4)", "axis=None, ddof=0")
      .sample("(2, 3, 4)", "axis=-1, keepdims=True, ddof=1")
      .sample("(2, 3, 4)", "axis=(0, 2), ddof=0")
      .rejects("(2, 3)", "axis=2", "ValueError");
}

}  // namespace plait
