#include "ops/prelude.h"

namespace plait {
namespace {

Avals infer_squeeze(const SqueezeAttrs& attrs, std::span<const Aval> in) {
  Aval out{.shape = {}, .dtype = in[0].dtype};
  for (int i = 0; i < in[0].shape.rank(); ++i)
    if (!std::binary_search(attrs.axes.begin(), attrs.axes.end(), i)) out.shape.push_back(in[0].shape[i]);
  return {out};
}

const char* check_squeeze(const SqueezeAttrs& attrs, std::span<const Aval> in) {
  if (!are_sorted_axes(attrs.axes, in[0].shape.rank())) return "axes of the array, sorted and each once";
  for (int axis : attrs.axes)
    if (!(in[0].shape[axis] == 1)) return "axes of extent 1";
  return nullptr;
}

bool view_squeeze(const SqueezeAttrs& attrs, const Aval& in, const Strides& strides, const Aval&, ViewLayout& to) {
  for (int i = 0; i < in.shape.rank(); ++i)
    if (!std::binary_search(attrs.axes.begin(), attrs.axes.end(), i)) to.strides.push_back(strides[i]);
  return true;
}

Grads vjp_squeeze(const SqueezeAttrs& attrs, const VjpArgs& at) { return {expand_dims(at.cotangent(), attrs.axes)}; }

Arrays jvp_squeeze(const SqueezeAttrs& attrs, const JvpArgs& at) { return {squeeze(at.tangent(0), attrs.axes)}; }

VmapResult vmap_squeeze(const SqueezeAttrs& attrs, const VmapArgs& at) {
  std::vector<int> axes;
  for (int axis : attrs.axes) axes.push_back(behind_batch(axis));
  return {{squeeze(batch_first(at, 0), axes)}, {0}};
}

}  // namespace

Array squeeze(const Array& a, const Axes& axes) {
  SqueezeAttrs attrs;
  if (axes) {
    attrs.axes = checked_axes("squeeze", axes, a.rank());
    for (int axis : attrs.axes)
      if (!(a.shape()[axis] == 1))
        throw ShapeError({.op = "squeeze",
                          .got = "axis " + std::to_string(axis) + " of shape " + to_string(a.shape()) + " has extent " +
                                 std::to_string(a.shape()[axis].value()),
                          .accepts = "axes of extent 1",
                          .where = here()});
  } else {
    for (int i = 0; i < a.rank(); ++i)
      if (a.shape()[i] == 1) attrs.axes.push_back(i);
  }
  if (attrs.axes.empty()) return a;
  static const OpHandle op("squeeze");
  return op(attrs, {a});
}

void register_squeeze(OpRegistry& ops) {
  ops.view<SqueezeAttrs>("squeeze")
      .summary("Axes of extent 1 taken out.")
      .input("a")
      .attr("axes", &SqueezeAttrs::axes, "axes of the input, sorted")
      .infer(infer_squeeze)
      .check(check_squeeze)
      .view(view_squeeze)
      .vjp(vjp_squeeze)
      .jvp(jvp_squeeze)
      .vmap(vmap_squeeze);
  ops.function("squeeze")
      .signature("(a: array, /, axis: None | int | Sequence[int] = None, *, stream: StreamOrDevice = None) -> array")
      .method("(axis: int | Sequence[int] | None = None, *, stream: StreamOrDevice = None) -> array")
      .summary("Axes of extent 1 taken out: the given ones, or all.")
      .details("Dtype: that of a. Errors: ValueError for an axis that does not exist or whose extent is not 1.")
      .oracle("np.squeeze(a, axis)")
      .sample("(1, 3, 1)", "axis=0")
      .sample("(1, 3, 1)", "axis=None")
      .sample("(2, 1, 3)", "axis=1")
      .rejects("(2, 3)", "axis=0", "ValueError");
}

}  // namespace plait
