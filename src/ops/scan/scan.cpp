#include "ops/scan/scan.h"

#include <limits>

#include "ops/prelude.h"
#include "ops/view/slice.h"

namespace plait {
namespace {

struct ScanAttrs {
  int axis = 0;
  bool reverse = false;
};

Avals infer_same(const ScanAttrs&, std::span<const Aval> in) { return {in[0]}; }

const char* check_scan(const ScanAttrs& attrs, std::span<const Aval> in) {
  return is_axis_of(attrs.axis, in[0]) ? nullptr : "an axis of the array";
}
const char* check_log_scan(const ScanAttrs& attrs, std::span<const Aval> in) {
  return is_inexact(in[0].dtype) ? check_scan(attrs, in) : "floats";
}
const char* check_linear_scan(const ScanAttrs& attrs, std::span<const Aval> in) {
  if (in[0].dtype != in[1].dtype || in[0].dtype == DType::bool_) return "operands of one dtype, not bool";
  return in[0].shape == in[1].shape ? check_scan(attrs, in) : "operands of one shape";
}
const char* check_segment_scan(const ScanAttrs& attrs, std::span<const Aval> in) {
  if (in[0].shape != in[1].shape) return "operands of one shape";
  return check_linear_scan(attrs, in.subspan(1));
}

namespace prim {
#define PLAIT_SCAN_OP(name)          \
  const OpHandle& name() {           \
    static const OpHandle op(#name); \
    return op;                       \
  }
PLAIT_SCAN_OP(cumsum)
PLAIT_SCAN_OP(cumprod)
PLAIT_SCAN_OP(cummax)
PLAIT_SCAN_OP(cummin)
PLAIT_SCAN_OP(logcumsumexp)
PLAIT_SCAN_OP(linear_scan)
PLAIT_SCAN_OP(segment_scan)
#undef PLAIT_SCAN_OP
}  // namespace prim

template <const OpHandle& (*kOp)()>
VmapResult vmap_scan(const ScanAttrs& attrs, const VmapArgs& at) {
  return {{kOp()(ScanAttrs{behind_batch(attrs.axis), attrs.reverse}, {batch_first(at, 0)})}, {0}};
}

/// `shape` filled with `rest` from the second place of the scan on, and `first` in the first.
Array behind_first(const ScanAttrs& attrs, const Shape& shape, const Array& first, const Array& rest) {
  SliceAttrs to;
  for (int i = 0; i < shape.rank(); ++i) {
    to.start.push_back(i == attrs.axis && !attrs.reverse ? Dim(1) : Dim(0));
    to.size.push_back(rest.shape()[i]);
    to.step.push_back(1);
  }
  return slice_update_static(broadcast_to(first, shape), rest, to);
}
/// All but the first, or all but the last, in the order of the scan.
Array without_first(const ScanAttrs& attrs, const Array& a) {
  return slice_axis(a, attrs.axis, attrs.reverse ? 0 : 1, a.shape()[attrs.axis] - 1);
}
Array without_last(const ScanAttrs& attrs, const Array& a) {
  return slice_axis(a, attrs.axis, attrs.reverse ? 1 : 0, a.shape()[attrs.axis] - 1);
}

/// The value before each one in the order of the scan; `first` for the first.
Array before(const ScanAttrs& attrs, const Array& a, const Array& first) {
  if (a.shape()[attrs.axis] == 0) return a;
  return behind_first(attrs, a.shape(), first, without_last(attrs, a));
}
Array before(const ScanAttrs& attrs, const Array& a, double first) {
  return before(attrs, a, Array(Scalar(first), a.dtype()));
}
ScanAttrs backwards(const ScanAttrs& attrs) { return {attrs.axis, !attrs.reverse}; }
Array behind(const ScanAttrs& attrs, const Array& a, double last) { return before(backwards(attrs), a, last); }

Grads vjp_cumsum(const ScanAttrs& attrs, const VjpArgs& at) {
  return {prim::cumsum()(backwards(attrs), {at.cotangent()})};
}
Arrays jvp_cumsum(const ScanAttrs& attrs, const JvpArgs& at) { return {prim::cumsum()(attrs, {at.tangent(0)})}; }

// y[k] = x[k] y[k-1]. The sum of what later products owe to y[k], r[k] = g[k] + x[k+1] r[k+1], is a scan too: no division.
Grads vjp_cumprod(const ScanAttrs& attrs, const VjpArgs& at) {
  const Array r = prim::linear_scan()(backwards(attrs), {behind(attrs, at.input(0), 0), at.cotangent()});
  return {r * before(attrs, at.output(), 1)};
}
Arrays jvp_cumprod(const ScanAttrs& attrs, const JvpArgs& at) {
  return {prim::linear_scan()(attrs, {at.input(0), at.tangent(0) * before(attrs, at.output(), 1)})};
}

// Each value is that of the element itself, or else the one before: y[k] = own[k] x[k] + (1 - own[k]) y[k-1].
struct Own {
  Array own, carried;
};
Own own_values(const ScanAttrs& attrs, const Array& y) {
  if (y.shape()[attrs.axis] == 0) return {zeros_like(y, DType::bool_), y};
  const Array own =
      behind_first(attrs, y.shape(), Array(true), not_equal(without_first(attrs, y), without_last(attrs, y)));
  return {own, converted(logical_not(own), y.dtype())};
}
Grads vjp_extreme(const ScanAttrs& attrs, const VjpArgs& at) {
  const auto [own, carried] = own_values(attrs, at.output());
  const Array r = prim::linear_scan()(backwards(attrs), {behind(attrs, carried, 0), at.cotangent()});
  return {where(own, r, zeros_like(r))};
}
Arrays jvp_extreme(const ScanAttrs& attrs, const JvpArgs& at) {
  const auto [own, carried] = own_values(attrs, at.output());
  return {prim::linear_scan()(attrs, {carried, where(own, at.tangent(0), zeros_like(at.tangent(0)))})};
}

// y[k] = log(exp(y[k-1]) + exp(x[k])): y[k-1] has the weight exp(y[k-1] - y[k]), x[k] the weight exp(x[k] - y[k]).
// Both are at most 1, and 0 where nothing but -inf was seen.
Array weight(const Array& part, const Array& y) {
  const Array e = exp(part - y);
  return where(equal(real(y), Array(Scalar(-std::numeric_limits<double>::infinity()),
                                    is_floating(y.dtype()) ? y.dtype() : DType::float32)),
               zeros_like(e), e);
}
Grads vjp_logcumsumexp(const ScanAttrs& attrs, const VjpArgs& at) {
  const Array y = at.output();
  const Array carried = behind(attrs, weight(before(attrs, y, -std::numeric_limits<double>::infinity()), y), 0);
  return {prim::linear_scan()(backwards(attrs), {carried, at.cotangent()}) * weight(at.input(0), y)};
}
Arrays jvp_logcumsumexp(const ScanAttrs& attrs, const JvpArgs& at) {
  const Array& y = at.output();
  const Array carried = weight(before(attrs, y, -std::numeric_limits<double>::infinity()), y);
  return {prim::linear_scan()(attrs, {carried, at.tangent(0) * weight(at.input(0), y)})};
}

// y[k] = a[k] y[k-1] + b[k]
Grads vjp_linear_scan(const ScanAttrs& attrs, const VjpArgs& at) {
  const Array r = prim::linear_scan()(backwards(attrs), {behind(attrs, at.input(0), 0), at.cotangent()});
  Grads grads(2);
  if (at.needed[0]) grads[0] = r * before(attrs, at.output(), 0);
  if (at.needed[1]) grads[1] = r;
  return grads;
}
Arrays jvp_linear_scan(const ScanAttrs& attrs, const JvpArgs& at) {
  Array t = at.tangent(1);
  if (at.tangent(0).defined()) {
    const Array from_a = at.tangent(0) * before(attrs, at.output(), 0);
    t = t.defined() ? t + from_a : from_a;
  }
  return {prim::linear_scan()(attrs, {at.input(0), t})};
}
VmapResult vmap_linear_scan(const ScanAttrs& attrs, const VmapArgs& at) {
  const ScanAttrs shifted{behind_batch(attrs.axis), attrs.reverse};
  return {{prim::linear_scan()(shifted, {batch_first_broadcast(at, 0), batch_first_broadcast(at, 1)})}, {0}};
}

// y[k] = a[k] y[k-1] + b[k], or b[k] where something starts. What starts hides what stood before it even where that is not finite, so
// neither it nor its derivatives may be multiplied by a zero instead.
Array unless(const Array& starts, const Array& a) { return where(starts, zeros_like(a), a); }

Grads vjp_segment_scan(const ScanAttrs& attrs, const VjpArgs& at) {
  const Array& starts = at.input(0);
  const Array r =
      prim::segment_scan()(backwards(attrs), {behind(attrs, starts, 1), behind(attrs, at.input(1), 0), at.cotangent()});
  Grads grads(3);
  if (at.needed[1]) grads[1] = unless(starts, r * unless(starts, before(attrs, at.output(), 0)));
  if (at.needed[2]) grads[2] = r;
  return grads;
}
Arrays jvp_segment_scan(const ScanAttrs& attrs, const JvpArgs& at) {
  const Array& starts = at.input(0);
  Array t = at.tangent(2);
  if (at.tangent(1).defined()) {
    const Array from_a = unless(starts, at.tangent(1) * unless(starts, before(attrs, at.output(), 0)));
    t = t.defined() ? t + from_a : from_a;
  }
  return {prim::segment_scan()(attrs, {starts, at.input(1), t})};
}
VmapResult vmap_segment_scan(const ScanAttrs& attrs, const VmapArgs& at) {
  const ScanAttrs shifted{behind_batch(attrs.axis), attrs.reverse};
  return {{prim::segment_scan()(
              shifted, {batch_first_broadcast(at, 0), batch_first_broadcast(at, 1), batch_first_broadcast(at, 2)})},
          {0}};
}

Array scan(const OpHandle& op, const Array& a, std::optional<int> axis, bool reverse, bool inclusive,
           const Scalar& start) {
  const Array x = axis ? a : reshape(a, {a.shape().count()});
  const ScanAttrs attrs{axis ? checked_axis(op->name, *axis, a.rank()) : 0, reverse};
  const Array y = op(attrs, {x});
  return inclusive ? y : before(attrs, y, Array(start, y.dtype()));
}

/// The smallest and largest values of a dtype: where running extremes start.
Scalar lowest(DType d) {
  if (d == DType::bool_ || is_in(d, dtypes::unsigned_integer)) return 0;
  if (is_inexact(d)) return -std::numeric_limits<double>::infinity();
  return std::numeric_limits<int64_t>::min() >> (64 - 8 * size_of(d));
}
Scalar highest(DType d) {
  if (d == DType::bool_) return true;
  if (is_inexact(d)) return std::numeric_limits<double>::infinity();
  if (is_in(d, dtypes::unsigned_integer)) return ~uint64_t{0} >> (64 - 8 * size_of(d));
  return std::numeric_limits<int64_t>::max() >> (64 - 8 * size_of(d));
}

}  // namespace

Array cumsum(const Array& a, std::optional<int> axis, bool reverse, bool inclusive, std::optional<DType> dtype) {
  const DType to = dtype.value_or(a.dtype() == DType::bool_ ? DType::int32 : a.dtype());
  return scan(prim::cumsum(), converted(a, to), axis, reverse, inclusive, 0);
}
Array cumprod(const Array& a, std::optional<int> axis, bool reverse, bool inclusive, std::optional<DType> dtype) {
  return scan(prim::cumprod(), converted(a, dtype.value_or(a.dtype())), axis, reverse, inclusive, 1);
}
Array cummax(const Array& a, std::optional<int> axis, bool reverse, bool inclusive) {
  return scan(prim::cummax(), a, axis, reverse, inclusive, lowest(a.dtype()));
}
Array cummin(const Array& a, std::optional<int> axis, bool reverse, bool inclusive) {
  return scan(prim::cummin(), a, axis, reverse, inclusive, highest(a.dtype()));
}
Array logcumsumexp(const Array& a, std::optional<int> axis, bool reverse, bool inclusive) {
  return scan(prim::logcumsumexp(), converted(a, at_least_float(a.dtype())), axis, reverse, inclusive,
              -std::numeric_limits<double>::infinity());
}

Array products_within(const Array& groups, const Array& a, bool reverse) {
  const ScanAttrs attrs{groups.rank() - 1, reverse};
  if (a.shape()[attrs.axis] == 0) return a;
  Array starts = behind_first(attrs, groups.shape(), Array(true),
                              not_equal(without_first(attrs, groups), without_last(attrs, groups)));
  Shape to = groups.shape();
  while (to.rank() < a.rank()) to.push_back(1);
  starts = broadcast_to(reshape(starts, to), a.shape());
  return prim::segment_scan()(attrs, {starts, before(attrs, a, 1), astype(starts, a.dtype())});
}

void register_scan(OpRegistry& ops) {
  const auto describe = [&](const char* name, const char* summary, auto vmap) {
    return ops.opaque<ScanAttrs>(name)
        .summary(summary)
        .input("a")
        .attr("axis", &ScanAttrs::axis, "the axis, not negative")
        .attr("reverse", &ScanAttrs::reverse, "from the last element to the first")
        .infer(infer_same)
        .check(check_scan)
        .vmap(vmap);
  };
  describe("cumsum", "Sums of all elements so far.", vmap_scan<prim::cumsum>).vjp(vjp_cumsum).jvp(jvp_cumsum);
  describe("cumprod", "Products of all elements so far.", vmap_scan<prim::cumprod>).vjp(vjp_cumprod).jvp(jvp_cumprod);
  describe("cummax", "The largest element so far; NaN wins.", vmap_scan<prim::cummax>)
      .vjp(vjp_extreme)
      .jvp(jvp_extreme);
  describe("cummin", "The smallest element so far; NaN wins.", vmap_scan<prim::cummin>)
      .vjp(vjp_extreme)
      .jvp(jvp_extreme);
  describe("logcumsumexp", "Logarithms of the sums of the exponentials so far.", vmap_scan<prim::logcumsumexp>)
      .check(check_log_scan)
      .vjp(vjp_logcumsumexp)
      .jvp(jvp_logcumsumexp);
  describe("linear_scan", "y = a * (y before) + b, from y = b on.", vmap_linear_scan)
      .input("b")
      .check(check_linear_scan)
      .vjp(vjp_linear_scan)
      .jvp(jvp_linear_scan);
  ops.opaque<ScanAttrs>("segment_scan")
      .summary("y = a * (y before) + b; y = b where something starts.")
      .input("starts", dtype_bit(DType::bool_))
      .input("a")
      .input("b")
      .attr("axis", &ScanAttrs::axis, "the axis, not negative")
      .attr("reverse", &ScanAttrs::reverse, "from the last element to the first")
      .infer([](const ScanAttrs&, std::span<const Aval> in) { return Avals{in[1]}; })
      .check(check_segment_scan)
      .vjp(vjp_segment_scan)
      .jvp(jvp_segment_scan)
      .vmap(vmap_segment_scan);

  // `dtype`: whether results may be asked for in one. `running`: NumPy's function of an array and an axis.
  const auto function = [&](const char* name, const char* summary, const char* more, bool dtype, std::string running) {
    const std::string axis_and_way = "axis: int | None = None, *, reverse: bool = False, inclusive: bool = True";
    const std::string stream = ", stream: StreamOrDevice = None) -> array";
    return ops.function(name)
        .signature("(a: array, /, " + axis_and_way + (dtype ? ", dtype: Dtype | None = None" : "") + stream)
        .method("(" + axis_and_way + stream)
        .summary(summary)
        .details(std::string(
                     "axis: one, or None for the flattened array. reverse: from the last element on. inclusive=False "
                     "leaves the element itself out. ") +
                 more + "Errors: ValueError and IndexError for an axis that does not exist.")
        .oracle("np.flip(" + running + "(np.flip(a, axis), axis), axis) if reverse else " + running +
                "(np.ravel(a) if axis is None else a, axis or 0)")
        .sample("(7,)", "axis=0")
        .sample("(3, 5)", "axis=0")
        .sample("(3, 5)", "axis=-1, reverse=True")
        .sample("(2, 3)", "axis=None")
        .sample("(0, 3)", "axis=1")
        .rejects("(3,)", "axis=1", "AxisError");
  };
  function("cumsum", "Sums along an axis of all elements so far.", "dtype: of the sums; bool becomes int32. ", true,
           "np.cumsum")
      .alias("cumulative_sum");
  function("cumprod", "Products along an axis of all elements so far.", "dtype: of the products. ", true, "np.cumprod")
      .alias("cumulative_prod");
  function("cummax", "The largest element along an axis so far; NaN wins.", "", false, "np.maximum.accumulate");
  function("cummin", "The smallest element along an axis so far; NaN wins.", "", false, "np.minimum.accumulate");
  function("logcumsumexp", "Logarithms of the sums along an axis of the exponentials of all elements so far.",
           "Integers become float32. ", false, "np.logaddexp.accumulate");
}

}  // namespace plait
