#include "ops/prelude.h"

namespace plait {
namespace {

Avals infer_broadcast_to(const BroadcastToAttrs& attrs, std::span<const Aval> in) {
  return {{attrs.shape, in[0].dtype}};
}

const char* check_broadcast_to(const BroadcastToAttrs& attrs, std::span<const Aval> in) {
  const int extra = attrs.shape.rank() - in[0].shape.rank();
  bool fits = extra >= 0;
  for (int i = 0; fits && i < in[0].shape.rank(); ++i)
    fits = in[0].shape[i] == attrs.shape[extra + i] || in[0].shape[i] == 1;
  return fits ? nullptr : "extents that are equal or 1 in the array, aligned at the last axis";
}

bool view_broadcast_to(const BroadcastToAttrs&, const Aval& in, const Strides& strides, const Aval& out,
                       ViewLayout& to) {
  const size_t extra = out.shape.size() - in.shape.size();
  to.strides.assign(out.shape.size(), 0);
  for (size_t i = 0; i < in.shape.size(); ++i)
    if (in.shape[i].value() == out.shape[extra + i].value()) to.strides[extra + i] = strides[i];
  return true;
}

Grads vjp_broadcast_to(const BroadcastToAttrs&, const VjpArgs& at) {
  return {sum_to_shape(at.cotangent(), at.input_shape(0))};
}

Arrays jvp_broadcast_to(const BroadcastToAttrs& attrs, const JvpArgs& at) {
  return {broadcast_to(at.tangent(0), attrs.shape)};
}

VmapResult vmap_broadcast_to(const BroadcastToAttrs& attrs, const VmapArgs& at) {
  Array a = batch_first(at, 0);
  if (const int missing = attrs.shape.rank() - (a.rank() - 1); missing > 0) {
    ExpandDimsAttrs ones;
    for (int i = 0; i < missing; ++i) ones.axes.push_back(1 + i);
    static const OpHandle expand("expand_dims");
    a = expand(ones, {a});
  }
  Shape shape{at.size};
  for (const Dim& d : attrs.shape) shape.push_back(d);
  return {{broadcast_to(a, shape)}, {0}};
}

}  // namespace

Array broadcast_to(const Array& a, const Shape& shape) {
  if (!(broadcast_shapes("broadcast_to", a.shape(), shape) == shape))
    throw ShapeError({.op = "broadcast_to",
                      .got = "shape " + to_string(a.shape()) + " does not stretch to " + to_string(shape),
                      .accepts = "extents that are equal or 1 in the array, aligned at the last axis",
                      .where = here()});
  if (a.shape() == shape) return a;
  static const OpHandle op("broadcast_to");
  return op(BroadcastToAttrs{shape}, {a});
}

void register_broadcast_to(OpRegistry& ops) {
  ops.view<BroadcastToAttrs>("broadcast_to")
      .summary("Extents of 1, and missing ones, repeated without copying.")
      .input("a")
      .attr("shape", &BroadcastToAttrs::shape, "extents of the result, aligned at the last axis")
      .infer(infer_broadcast_to)
      .check(check_broadcast_to)
      .view(view_broadcast_to)
      .vjp(vjp_broadcast_to)
      .jvp(jvp_broadcast_to)
      .vmap(vmap_broadcast_to);
  ops.function("broadcast_to")
      .signature("(a: scalar | array, /, shape: Sequence[int], *, stream: StreamOrDevice = None) -> array")
      .summary("The array stretched to a shape: extents of 1 and missing axes repeat, without copying.")
      .details(
          "Shapes: to shape, with whose last axes those of a agree or are 1. Dtype: that of a. Errors: ValueError for a shape that a does not broadcast to.")
      .oracle("np.broadcast_to(a, shape)")
      .sample("(3,)", "shape=(2, 3)")
      .sample("(2, 1)", "shape=(4, 2, 3)")
      .sample("()", "shape=(2, 2)")
      .rejects("(3,)", "shape=(2,)", "ValueError");
}

}  // namespace plait
