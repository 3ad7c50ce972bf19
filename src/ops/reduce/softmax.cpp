#include "ops/prelude.h"
#include "ops/transform/custom_call.h"

namespace plait {
namespace {

DType working(DType d) { return is_half(d) ? DType::float32 : at_least_float(d); }

bool nothing_along(const Array& a, const std::vector<int>& axes) {
  return std::any_of(axes.begin(), axes.end(), [&](int axis) { return a.shape()[axis] == 0; });
}

template <class Rules>
Array with_rules(std::vector<int> axes, const Array& x, const Array& y) {
  return custom_call(std::make_shared<Rules>(std::move(axes)), {x}, {y})[0];
}

/// A function along axes of one array, whose result stands beside it in the same node.
template <class Rules>
class AlongAxes : public CallRules {
 public:
  explicit AlongAxes(std::vector<int> axes) : axes_(std::move(axes)) {}

  VmapResult vmap(const VmapArgs& at, size_t) const override {
    std::vector<int> axes = axes_;
    for (int& axis : axes) ++axis;
    if (at.axes[0] == kUnbatched) return {{at.inputs[1]}, {at.axes[1]}};
    return {{with_rules<Rules>(std::move(axes), batch_first(at, 0), batch_first(at, 1))}, {0}};
  }

 protected:
  std::vector<int> axes_;
};

/// y * (g - sum(g * y)): of the forward pass the result alone is kept, not the exponentials as well.
class SoftmaxRules final : public AlongAxes<SoftmaxRules> {
 public:
  using AlongAxes::AlongAxes;
  Grads vjp(const VjpArgs& at) const override {
    const Array y = converted(at.output(), working(at.output().dtype()));
    const Array gy = multiply(converted(at.cotangent(), y.dtype()), y);
    Grads grads(2);
    if (at.needed[0]) grads[0] = subtract(gy, multiply(y, sum(gy, axes_, true)));
    return grads;
  }
};

/// g * exp(x - y): the operand and one number for each row are kept, not the exponentials.
class LogsumexpRules final : public AlongAxes<LogsumexpRules> {
 public:
  using AlongAxes::AlongAxes;
  Grads vjp(const VjpArgs& at) const override {
    Grads grads(2);
    if (at.needed[0]) grads[0] = multiply(at.cotangent(), exp(subtract(at.input(0), at.output())));
    return grads;
  }
};

}  // namespace

// `precise` asks for float32 in between, which is always so here: fused, it costs nothing.
Array softmax(const Array& a, const Axes& axis, bool) {
  const std::vector<int> axes = checked_axes("softmax", axis, a.rank());
  if (axes.empty()) return ones_like(a);  // each element alone
  const DType out = at_least_float(a.dtype());
  if (nothing_along(a, axes)) return converted(a, out);
  const Array x = converted(a, working(a.dtype()));
  const Array shifted = exp(subtract(x, stop_gradient(max(x, axes, true))));  // the largest exponent is 0
  return with_rules<SoftmaxRules>(axes, a, converted(divide(shifted, sum(shifted, axes, true)), out));
}

Array logsumexp(const Array& a, const Axes& axis, bool keepdims) {
  const std::vector<int> axes = checked_axes("logsumexp", axis, a.rank());
  const Array x = converted(a, working(a.dtype()));
  const Array largest = stop_gradient(max(x, axes, true));
  const Array offset = where(isfinite(largest), largest, zeros_like(largest));  // inf - inf would be NaN
  const Array sums = log(sum(exp(subtract(x, offset)), axes, true));
  const Array y = with_rules<LogsumexpRules>(axes, x, add(sums, offset));
  return converted(keepdims ? y : squeeze(y, axes), at_least_float(a.dtype()));
}

void register_softmax(OpRegistry& ops) {
  ops.function("softmax")
      .signature(
          "(a: array, /, axis: None | int | Sequence[int] = None, *, precise: bool = False, stream: StreamOrDevice = None) -> array")
      .summary("exp(a) / sum(exp(a)) along axes, computed without overflow.")
      .details(
          "axis: None for all axes, one, or several. Dtype: that of a, float32 for integers, except that one over no axes keeps the dtype; 16-bit floats are computed in float32. Errors: ValueError for an axis that does not exist.")
      .oracle("scipy.special.softmax(a, axis) if a.size else a")
      .sample("(2, 3)", "axis=-1")
      .sample("(2, 3, 4)", "axis=1")
      .sample("(2, 3)", "axis=None")
      .sample("()", "axis=None")
      .sample("(0,)", "axis=0")
      .rejects("(3,)", "axis=1", "ValueError");
  ops.function("logsumexp")
      .signature(
          "(a: array, /, axis: None | int | Sequence[int] = None, keepdims: bool = False, *, stream: StreamOrDevice = None) -> array")
      .method(
          "(axis: int | Sequence[int] | None = None, keepdims: bool = False, *, stream: StreamOrDevice = None) -> array")
      .summary("log(sum(exp(a))) along axes, computed without overflow.")
      .details(
          "Dtype: float32 for integers and bool. Errors: ValueError for an axis that does not exist or has nothing.")
      .oracle("scipy.special.logsumexp(a, axis=axis, keepdims=keepdims)")
      .sample("(2, 3)", "axis=-1")
      .sample("(2, 3, 4)", "axis=(0, 2), keepdims=True")
      .sample("()", "axis=None")
      .rejects("(0,)", "axis=None", "ValueError");
}

}  // namespace plait
