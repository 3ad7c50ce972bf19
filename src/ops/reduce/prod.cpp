#include "ops/prelude.h"

namespace plait {
namespace {

// Sums and products of narrow integers are taken in 32 bits.
DType wide(DType d) {
  if (d == DType::bool_ || d == DType::int8 || d == DType::int16) return DType::int32;
  return d == DType::uint8 || d == DType::uint16 ? DType::uint32 : d;
}

// The product of all other elements along the axes: of those before each one, times that of those behind it. Without a quotient it
// is right where some are zero, and so are its own derivatives.
Array others(const ReduceAttrs& attrs, const Array& a) {
  const Array x = is_half(a.dtype()) ? converted(a, DType::float32) : a;
  std::vector<int> order;
  Shape rows;
  for (int i = 0; i < x.rank(); ++i)
    if (!std::binary_search(attrs.axes.begin(), attrs.axes.end(), i)) {
      order.push_back(i);
      rows.push_back(x.shape()[i]);
    }
  Dim n = 1;
  for (const int axis : attrs.axes) {
    order.push_back(axis);
    n *= x.shape()[axis];
  }
  rows.push_back(n);
  const Array moved = transpose(x, order);
  const Array flat = reshape(moved, rows);
  const auto running = [&](bool reverse) { return cumprod(flat, -1, reverse, false, std::nullopt); };
  const Array product = reshape(multiply(running(false), running(true)), moved.shape());
  std::vector<int> back(order.size());
  for (size_t i = 0; i < order.size(); ++i) back[static_cast<size_t>(order[i])] = static_cast<int>(i);
  return transpose(product, back);
}

const char* check_prod(const ReduceAttrs& attrs, std::span<const Aval> in) {
  if (wide(in[0].dtype) != in[0].dtype) return "32 bits or more, or floats";
  return are_sorted_axes(attrs.axes, in[0].shape.rank()) ? nullptr : "axes of the array, sorted and each once";
}

Grads vjp_prod(const ReduceAttrs& attrs, const VjpArgs& at) {
  const Array g = attrs.keepdims ? at.cotangent() : expand_dims(at.cotangent(), attrs.axes);
  return {multiply(g, others(attrs, at.input(0)))};
}

Arrays jvp_prod(const ReduceAttrs& attrs, const JvpArgs& at) {
  return {sum(multiply(at.tangent(0), others(attrs, at.input(0))), attrs.axes, attrs.keepdims)};
}

}  // namespace

Array prod(const Array& a, const Axes& axis, bool keepdims) {
  static const OpHandle op("prod");
  const Array x = converted(a, wide(a.dtype()));
  const ReduceAttrs attrs{checked_axes("prod", axis, a.rank()), keepdims};
  return attrs.axes.empty() ? x : op(attrs, {x});
}

void register_prod(OpRegistry& ops) {
  ops.reduction("prod", ir::Op::reduce_prod)
      .summary("Product along axes; narrow integers are multiplied in 32 bits.")
      .input("a")
      .check(check_prod)
      .vjp(vjp_prod)
      .jvp(jvp_prod);
  ops.function("prod")
      .signature(
          "(a: array, /, axis: None | int | Sequence[int] = None, keepdims: bool = False, *, stream: StreamOrDevice = None) -> array")
      .method(
          "(axis: int | Sequence[int] | None = None, keepdims: bool = False, *, stream: StreamOrDevice = None) -> array")
      .summary("Product along axes; narrow integers are multiplied in 32 bits.")
      .details(
          "axis: None for all axes, one, or several; keepdims leaves them with extent 1. Errors: ValueError for an axis that does not exist.")
      .oracle("np.prod(a, axis=axis, keepdims=keepdims)")
      .sample("(2, 3, 4)", "axis=None")
      .sample("(2, 3, 4)", "axis=-1")
      .sample("(2, 3, 4)", "axis=(0, 2), keepdims=True")
      .sample("(2, 3, 4)", "axis=1")
      .sample("()", "axis=None")
      .sample("[[2.0, 0.0, 3.0], [0.0, 0.5, 0.0], [1.5, -2.0, 0.5]]", "axis=1")
      .rejects("(2, 3)", "axis=2", "ValueError");
}

}  // namespace plait
