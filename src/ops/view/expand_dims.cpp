#include "ops/prelude.h"

namespace plait {
namespace {

Avals infer_expand_dims(const ExpandDimsAttrs& attrs, std::span<const Aval> in) {
  Aval out = in[0];
  for (int axis : attrs.axes) out.shape.insert(out.shape.begin() + axis, Dim(1));
  return {out};
}

const char* check_expand_dims(const ExpandDimsAttrs& attrs, std::span<const Aval> in) {
  const int rank = in[0].shape.rank() + static_cast<int>(attrs.axes.size());
  return are_sorted_axes(attrs.axes, rank) ? nullptr : "axes of the result, sorted and each once";
}

bool view_expand_dims(const ExpandDimsAttrs& attrs, const Aval&, const Strides& strides, const Aval&, ViewLayout& to) {
  to.strides = strides;
  for (int axis : attrs.axes) to.strides.insert(to.strides.begin() + axis, 0);
  return true;
}

Grads vjp_expand_dims(const ExpandDimsAttrs& attrs, const VjpArgs& at) { return {squeeze(at.cotangent(), attrs.axes)}; }

Arrays jvp_expand_dims(const ExpandDimsAttrs& attrs, const JvpArgs& at) {
  return {expand_dims(at.tangent(0), attrs.axes)};
}

VmapResult vmap_expand_dims(const ExpandDimsAttrs& attrs, const VmapArgs& at) {
  std::vector<int> axes;
  for (int axis : attrs.axes) axes.push_back(behind_batch(axis));
  return {{expand_dims(batch_first(at, 0), axes)}, {0}};
}

}  // namespace

Array expand_dims(const Array& a, const Axes& axes) {
  const int added = axes ? static_cast<int>(axes->size()) : 0;
  if (added == 0) return a;
  static const OpHandle op("expand_dims");
  return op(ExpandDimsAttrs{checked_axes("expand_dims", axes, a.rank() + added)}, {a});
}

void register_expand_dims(OpRegistry& ops) {
  ops.view<ExpandDimsAttrs>("expand_dims")
      .summary("Axes of extent 1 put in.")
      .input("a")
      .attr("axes", &ExpandDimsAttrs::axes, "positions in the result, sorted")
      .infer(infer_expand_dims)
      .check(check_expand_dims)
      .view(view_expand_dims)
      .vjp(vjp_expand_dims)
      .jvp(jvp_expand_dims)
      .vmap(vmap_expand_dims);
  ops.function("expand_dims")
      .signature("(a: array, /, axis: int | Sequence[int], *, stream: StreamOrDevice = None) -> array")
      .summary("Axes of extent 1 put in at the given positions of the result.")
      .details(
          "axis: one or several, negative ones count from the end of the result. Dtype: that of a. Errors: ValueError for an axis that the result does not have, or one given twice.")
      .oracle("np.expand_dims(a, axis)")
      .sample("(2, 3)", "axis=1")
      .sample("(2, 3)", "axis=(0, -1)")
      .rejects("(2, 3)", "axis=4", "ValueError");
}

}  // namespace plait
