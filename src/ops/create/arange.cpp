#include <cmath>

#include "ops/create/iota.h"
#include "ops/prelude.h"
#include "plait/more_ops.h"

namespace plait {
namespace {

struct ArangeAttrs {
  Scalar start;
  Scalar step;
  Dim size = 0;
  DType dtype = DType::int32;
};

Avals infer_arange(const ArangeAttrs& attrs, std::span<const Aval>) { return {{Shape{attrs.size}, attrs.dtype}}; }

const char* check_arange(const ArangeAttrs& attrs, std::span<const Aval>) {
  if (attrs.dtype == DType::bool_) return "integers or floats";
  return attrs.size >= 0 ? nullptr : "a number of values of 0 and more";
}

struct ExtentAttrs {
  Dim value = 0;
  DType dtype = DType::int32;
};

Avals infer_extent(const ExtentAttrs& attrs, std::span<const Aval>) { return {{{}, attrs.dtype}}; }

Array make_arange(const ArangeAttrs& attrs) {
  static const OpHandle op("arange");
  return op(attrs, {});
}

[[noreturn]] void reject(std::string got, std::string accepts) {
  throw ArgumentError({.op = "arange", .got = std::move(got), .accepts = std::move(accepts), .where = here()});
}

bool whole(const Scalar& s) { return s.kind == Scalar::Kind::boolean || s.kind == Scalar::Kind::integer; }

// Values from start up to stop, without stop.
int64_t count_between(const Scalar& start, const Scalar& stop, const Scalar& step) {
  if (whole(start) && whole(stop) && whole(step)) {
    if (step.i == 0) reject("step 0", "a step that is not 0");
    const __int128 span = static_cast<__int128>(stop.i) - start.i;
    const __int128 n = (span + step.i + (step.i > 0 ? -1 : 1)) / step.i;
    if (n > INT64_MAX) reject("more values than memory can hold", "a finite range");
    return span == 0 || (span > 0) != (step.i > 0) ? 0 : static_cast<int64_t>(n);
  }
  if (step.re == 0) reject("step 0", "a step that is not 0");
  const double n = std::ceil((stop.re - start.re) / step.re);
  if (!std::isfinite(n) || n > 9e18) reject("a range without an end", "finite bounds");
  return n > 0 ? static_cast<int64_t>(n) : 0;
}

}  // namespace

Array iota(Dim n, DType dtype) {
  return make_arange(
      {is_inexact(dtype) ? Scalar(0.0) : Scalar(0), is_inexact(dtype) ? Scalar(1.0) : Scalar(1), n, dtype});
}

Array extent(Dim n, DType dtype) {
  if (n.expr() == 0) return Array(Scalar(n.value()), dtype);
  static const OpHandle op("extent");
  return op(ExtentAttrs{n, dtype}, {});
}

Array arange(const Scalar& start, const std::optional<Scalar>& stop, const std::optional<Scalar>& step,
             std::optional<DType> dtype) {
  const Scalar from = stop ? start : Scalar(0);
  const Scalar to = stop.value_or(start);
  const Scalar by = step.value_or(Scalar(1));
  DType out = promote(promote(from.default_dtype(), to.default_dtype()), by.default_dtype());
  if (!stop && !step) out = to.default_dtype();
  out = dtype.value_or(out);
  if (out == DType::bool_) reject("bool", "integers or floats");
  ArangeAttrs attrs{from, by, count_between(from, to, by), out};
  if (!is_inexact(out) && !(whole(from) && whole(by))) {  // the first two values are truncated, and say the step
    const auto first = static_cast<int64_t>(from.re);
    attrs.start = Scalar(first);
    attrs.step = Scalar(static_cast<int64_t>(from.re + by.re) - first);
  }
  return make_arange(attrs);
}

Array arange(const Scalar& stop) { return arange(stop, std::nullopt, std::nullopt); }

Array arange(const Scalar& start, const Scalar& stop) { return arange(start, stop, std::nullopt); }

Array linspace(const Scalar& start, const Scalar& stop, std::optional<int64_t> num, bool endpoint,
               std::optional<DType> dtype) {
  const int64_t n = num.value_or(50);
  const DType out = dtype.value_or(DType::float32);
  if (n < 0)
    throw ArgumentError(
        {.op = "linspace", .got = std::to_string(n) + " values", .accepts = "0 and more", .where = here()});
  const DType compute = out == DType::float64 || out == DType::complex64 ? out : DType::float32;
  const int64_t steps = endpoint ? n - 1 : n;
  const auto number = [&](const Scalar& s) { return Array(s, compute); };
  if (steps < 1) return converted(broadcast_to(number(start), Shape{n}), out);
  // Weights of both ends, so that the last value is `stop` exactly.
  const Array t = iota(n, compute) / number(Scalar(static_cast<double>(steps)));
  return converted((number(Scalar(1.0)) - t) * number(start) + t * number(stop), out);
}

void register_arange(OpRegistry& ops) {
  ops.opaque<ArangeAttrs>("arange")
      .summary("start + i * step for i below size.")
      .attr("start", &ArangeAttrs::start, "first value")
      .attr("step", &ArangeAttrs::step, "distance between values")
      .attr("size", &ArangeAttrs::size, "number of values")
      .attr("dtype", &ArangeAttrs::dtype, "dtype of the result")
      .infer(infer_arange)
      .check(check_arange)
      .not_differentiable("it has no array operand")
      .no_vmap("it has no array operand");
  ops.opaque<ExtentAttrs>("extent")
      .summary("An extent as a 0-d number.")
      .attr("value", &ExtentAttrs::value, "the extent")
      .attr("dtype", &ExtentAttrs::dtype, "dtype of the result")
      .infer(infer_extent)
      .check(nothing_to_check)
      .not_differentiable("it has no array operand")
      .no_vmap("it has no array operand");
  ops.function("arange")
      .signature(
          "(start: int | float, stop: None | int | float, step: None | int | float, dtype: Dtype | None = None, *, stream: StreamOrDevice = None) -> array")
      .summary("Values from start up to stop, without it, in steps; with one bound from 0.")
      .details(
          "arange(stop), arange(start, stop) and arange(stop, step=2) leave out what they have no need of.\n"
          "Dtype: int32 (int64 when a bound needs it) for whole numbers, else float32. Errors: ValueError for step 0, bool, or a range without an end.")
      .oracle("np.arange(start, stop, step)")
      .not_differentiable("it has no array operand")
      .sample("", "start=0, stop=6, step=1")
      .sample("", "start=5, stop=0, step=-2")
      .sample("", "start=0.0, stop=1.0, step=0.25")
      .sample("", "start=3, stop=3, step=1")
      .rejects("", "start=0, stop=5, step=0", "ValueError");
  ops.function("linspace")
      .signature(
          "(start: scalar, stop: scalar, num: int | None = 50, endpoint: bool = True, dtype: Dtype | None = float32, stream: StreamOrDevice = None) -> array")
      .summary("num evenly spaced values from start to stop.")
      .details("endpoint: whether stop is the last value. Errors: ValueError for a negative num.")
      .oracle("np.linspace(start, stop, num, endpoint)")
      .not_differentiable("it has no array operand")
      .sample("", "start=0, stop=1, num=5")
      .sample("", "start=0, stop=10, num=4, endpoint=False")
      .sample("", "start=0, stop=10, num=1")
      .sample("", "start=0, stop=10, num=0")
      .rejects("", "start=0, stop=1, num=-1", "ValueError");
}

}  // namespace plait
