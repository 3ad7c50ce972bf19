#include "ops/prelude.h"

namespace plait {
namespace {

Avals infer_transpose(const TransposeAttrs& attrs, std::span<const Aval> in) {
  Aval out{.shape = {}, .dtype = in[0].dtype};
  for (int axis : attrs.axes) out.shape.push_back(in[0].shape[axis]);
  return {out};
}

const char* check_transpose(const TransposeAttrs& attrs, std::span<const Aval> in) {
  std::vector<int> sorted = attrs.axes;
  std::sort(sorted.begin(), sorted.end());
  const int rank = in[0].shape.rank();
  return static_cast<int>(sorted.size()) == rank && are_sorted_axes(sorted, rank) ? nullptr : "each axis once";
}

bool view_transpose(const TransposeAttrs& attrs, const Aval&, const Strides& strides, const Aval&, ViewLayout& to) {
  for (int axis : attrs.axes) to.strides.push_back(strides[axis]);
  return true;
}

std::vector<int> inverse(const std::vector<int>& axes) {
  std::vector<int> out(axes.size());
  for (size_t i = 0; i < axes.size(); ++i) out[axes[i]] = static_cast<int>(i);
  return out;
}

Grads vjp_transpose(const TransposeAttrs& attrs, const VjpArgs& at) {
  return {transpose(at.cotangent(), inverse(attrs.axes))};
}

Arrays jvp_transpose(const TransposeAttrs& attrs, const JvpArgs& at) { return {transpose(at.tangent(0), attrs.axes)}; }

VmapResult vmap_transpose(const TransposeAttrs& attrs, const VmapArgs& at) {
  std::vector<int> axes{0};
  for (int axis : attrs.axes) axes.push_back(behind_batch(axis));
  return {{transpose(batch_first(at, 0), axes)}, {0}};
}

}  // namespace

Array transpose(const Array& a, const Axes& axes) {
  TransposeAttrs attrs;
  if (!axes) {
    for (int i = a.rank(); i-- > 0;) attrs.axes.push_back(i);
  } else {
    for (int axis : *axes) attrs.axes.push_back(checked_axis("transpose", axis, a.rank()));
    std::vector<int> sorted = attrs.axes;
    std::sort(sorted.begin(), sorted.end());
    const bool twice = std::adjacent_find(sorted.begin(), sorted.end()) != sorted.end();
    if (twice || static_cast<int>(sorted.size()) != a.rank())
      throw ArgumentError({.op = "transpose",
                           .got = std::to_string(sorted.size()) + (twice ? " axes, one of them twice," : " axes") +
                                  " for an array of shape " + to_string(a.shape()),
                           .accepts = "each of its axes once",
                           .where = here()});
  }
  if (std::is_sorted(attrs.axes.begin(), attrs.axes.end())) return a;
  static const OpHandle op("transpose");
  return op(attrs, {a});
}

void register_transpose(OpRegistry& ops) {
  ops.view<TransposeAttrs>("transpose")
      .summary("The axes in another order.")
      .input("a")
      .attr("axes", &TransposeAttrs::axes, "output axis i is input axis axes[i]")
      .infer(infer_transpose)
      .check(check_transpose)
      .view(view_transpose)
      .vjp(vjp_transpose)
      .jvp(jvp_transpose)
      .vmap(vmap_transpose);
  ops.function("transpose")
      .signature("(a: array, /, axes: Sequence[int] | None = None, *, stream: StreamOrDevice = None) -> array")
      .method("(*axes, stream: StreamOrDevice = None) -> array")
      .alias("permute_dims")
      .summary("The axes in another order; reversed when none is given.")
      .details(
          "axes: each axis once; negative counts from the end. Costs nothing: only strides change. Errors: ValueError.")
      .oracle("np.transpose(a, axes)")
      .sample("(2, 3, 4)", "axes=(2, 0, 1)")
      .sample("(2, 3)", "axes=None")
      .sample("()", "axes=None")
      .rejects("(2, 3)", "axes=(0, 0)", "ValueError")
      .rejects("(2, 3)", "axes=(0, 2)", "ValueError");
}

}  // namespace plait
