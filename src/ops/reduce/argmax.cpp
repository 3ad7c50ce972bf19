#include "ops/prelude.h"

namespace plait {
namespace {

struct ArgmaxAttrs {
  int axis = 0;
  bool keepdims = false;
};

Avals infer_argmax(const ArgmaxAttrs& attrs, std::span<const Aval> in) {
  Aval out{.shape = {}, .dtype = DType::uint32};
  for (int i = 0; i < in[0].shape.rank(); ++i) {
    if (i != attrs.axis) out.shape.push_back(in[0].shape[i]);
    if (i == attrs.axis && attrs.keepdims) out.shape.push_back(1);
  }
  return {out};
}

const char* check_argmax(const ArgmaxAttrs& attrs, std::span<const Aval> in) {
  return is_axis_of(attrs.axis, in[0]) && in[0].shape[attrs.axis] > 0 ? nullptr : "an axis that is not empty";
}

const OpHandle& largest() {
  static const OpHandle op("argmax");
  return op;
}
const OpHandle& smallest() {
  static const OpHandle op("argmin");
  return op;
}

template <const OpHandle& (*kOp)()>
VmapResult vmap_argmax(const ArgmaxAttrs& attrs, const VmapArgs& at) {
  return {{kOp()(ArgmaxAttrs{behind_batch(attrs.axis), attrs.keepdims}, {batch_first(at, 0)})}, {0}};
}

Array search(const OpHandle& op, const Array& a, std::optional<int> axis, bool keepdims) {
  const Array x = axis ? a : reshape(a, {a.shape().count()});
  const int at = axis ? checked_axis(op->name, *axis, x.rank()) : 0;
  if (x.shape()[at] == 0)
    throw ShapeError({.op = op->name,
                      .got = "an array of shape " + to_string(a.shape()) + " has nothing to search",
                      .accepts = "at least one element",
                      .where = here()});
  const Array found = op(ArgmaxAttrs{at, axis && keepdims}, {x});
  if (axis || !keepdims) return found;
  Shape ones;
  for (int i = 0; i < a.rank(); ++i) ones.push_back(1);
  return reshape(found, ones);
}

}  // namespace

Array argmax(const Array& a, std::optional<int> axis, bool keepdims) { return search(largest(), a, axis, keepdims); }

Array argmin(const Array& a, std::optional<int> axis, bool keepdims) { return search(smallest(), a, axis, keepdims); }

void register_argmax(OpRegistry& ops) {
  const auto describe = [](auto builder, auto vmap) {
    builder.input("a")
        .attr("axis", &ArgmaxAttrs::axis, "the axis to search, not negative")
        .attr("keepdims", &ArgmaxAttrs::keepdims, "the axis stays with extent 1")
        .infer(infer_argmax)
        .check(check_argmax)
        .vmap(vmap)
        .not_differentiable("positions do not change smoothly");
  };
  describe(ops.opaque<ArgmaxAttrs>("argmax").summary("Position of the first largest element along an axis; NaN wins."),
           vmap_argmax<largest>);
  describe(ops.opaque<ArgmaxAttrs>("argmin").summary("Position of the first smallest element along an axis; NaN wins."),
           vmap_argmax<smallest>);
  ops.function("argmax")
      .signature(
          "(a: array, /, axis: None | int = None, keepdims: bool = False, *, stream: StreamOrDevice = None) -> array")
      .method("(axis: int | None = None, keepdims: bool = False, *, stream: StreamOrDevice = None) -> array")
      .summary("Position of the first largest element along an axis, or in the flattened array; NaN wins.")
      .details("Dtype: uint32. Errors: ValueError for an axis that does not exist or has nothing.")
      .oracle("np.argmax(a, axis, keepdims=keepdims)")
      .not_differentiable("positions do not change smoothly")
      .sample("(2, 3)", "axis=None")
      .sample("(2, 3, 4)", "axis=1")
      .sample("(2, 3)", "axis=-1, keepdims=True")
      .sample("()", "axis=None")
      .rejects("(0,)", "axis=None", "ValueError")
      .rejects("(3,)", "axis=1", "ValueError");
  ops.function("argmin")
      .signature(
          "(a: array, /, axis: None | int = None, keepdims: bool = False, *, stream: StreamOrDevice = None) -> array")
      .method("(axis: int | None = None, keepdims: bool = False, *, stream: StreamOrDevice = None) -> array")
      .summary("Position of the first smallest element along an axis, or in the flattened array; NaN wins.")
      .details("Dtype: uint32. Errors: ValueError for an axis that does not exist or has nothing.")
      .oracle("np.argmin(a, axis, keepdims=keepdims)")
      .not_differentiable("positions do not change smoothly")
      .sample("(2, 3)", "axis=None")
      .sample("(2, 3, 4)", "axis=1")
      .sample("(2, 3)", "axis=-1, keepdims=True")
      .sample("()", "axis=None")
      .rejects("(0,)", "axis=None", "ValueError")
      .rejects("(3,)", "axis=1", "ValueError");
}

}  // namespace plait
