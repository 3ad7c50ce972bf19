#include "ops/prelude.h"
#include "ops/view/slice.h"

namespace plait {
namespace {

struct ConcatenateAttrs {
  int axis = 0;
};

Avals infer_concatenate(const ConcatenateAttrs& attrs, std::span<const Aval> in) {
  Aval out = in[0];
  for (size_t i = 1; i < in.size(); ++i) out.shape[attrs.axis] += in[i].shape[attrs.axis];
  return {out};
}

const char* check_concatenate(const ConcatenateAttrs& attrs, std::span<const Aval> in) {
  if (!is_axis_of(attrs.axis, in[0])) return "an axis of the arrays";
  for (const Aval& a : in)
    if (a.dtype != in[0].dtype || !agree_except(attrs.axis, a.shape, in[0].shape))
      return "arrays of one dtype and of equal extents except along the axis";
  return nullptr;
}

Array join(SmallVector<Array, 2> parts, int axis) {
  static const OpHandle op("concatenate");
  return op(ConcatenateAttrs{axis}, std::move(parts));
}

Grads vjp_concatenate(const ConcatenateAttrs& attrs, const VjpArgs& at) {
  Grads grads(at.node.inputs.size());
  Dim start = 0;
  for (size_t i = 0; i < grads.size(); ++i) {
    const Dim size = at.input_shape(static_cast<int>(i))[attrs.axis];
    if (at.needed[i]) grads[i] = slice_axis(at.cotangent(), attrs.axis, start, size);
    start += size;
  }
  return grads;
}

Arrays jvp_concatenate(const ConcatenateAttrs& attrs, const JvpArgs& at) {
  SmallVector<Array, 2> parts;
  for (size_t i = 0; i < at.inputs.size(); ++i)
    parts.push_back(at.tangents[i].defined() ? at.tangents[i] : zeros_like(at.inputs[i]));
  return {join(std::move(parts), attrs.axis)};
}

VmapResult vmap_concatenate(const ConcatenateAttrs& attrs, const VmapArgs& at) {
  SmallVector<Array, 2> parts;
  for (size_t i = 0; i < at.inputs.size(); ++i) parts.push_back(batch_first_broadcast(at, static_cast<int>(i)));
  return {{join(std::move(parts), behind_batch(attrs.axis))}, {0}};
}

[[noreturn]] void reject(const char* op, std::string got, std::string accepts) {
  throw ShapeError({.op = op, .got = std::move(got), .accepts = std::move(accepts), .where = here()});
}

}  // namespace

Array concatenate(const Arrays& arrays, std::optional<int> axis) {
  if (arrays.empty()) reject("concatenate", "no arrays", "at least one");
  if (arrays.size() == 1) return axis ? arrays[0] : reshape(arrays[0], {-1});
  SmallVector<Array, 2> parts;
  DType common = arrays[0].dtype();
  for (const Array& a : arrays) common = promote(common, a.dtype());
  for (const Array& a : arrays) parts.push_back(converted(axis ? a : reshape(a, {a.shape().count()}), common));
  const Shape& first = parts[0].shape();
  const int at = checked_axis("concatenate", axis.value_or(0), first.rank());
  for (const Array& a : parts) {
    bool fits = a.rank() == first.rank();
    for (int i = 0; fits && i < first.rank(); ++i) fits = i == at || a.shape()[i] == first[i];
    if (!fits)
      reject("concatenate", "shapes " + to_string(first) + " and " + to_string(a.shape()),
             "shapes that differ along axis " + std::to_string(at) + " only");
  }
  return join(std::move(parts), at);
}

Array stack(const Arrays& arrays, std::optional<int> axis) {
  if (arrays.empty()) reject("stack", "no arrays", "at least one");
  const int at = checked_axis("stack", axis.value_or(0), arrays[0].rank() + 1);
  Arrays parts;
  for (const Array& a : arrays) {
    if (!(a.shape() == arrays[0].shape()))
      reject("stack", "shapes " + to_string(arrays[0].shape()) + " and " + to_string(a.shape()), "equal shapes");
    parts.push_back(expand_dims(a, at));
  }
  return concatenate(parts, at);
}

void register_concatenate(OpRegistry& ops) {
  ops.opaque<ConcatenateAttrs>("concatenate")
      .summary("Arrays one after another along an axis.")
      .input("arrays")
      .variadic()
      .attr("axis", &ConcatenateAttrs::axis, "the axis, not negative")
      .infer(infer_concatenate)
      .check(check_concatenate)
      .vjp(vjp_concatenate)
      .jvp(jvp_concatenate)
      .vmap(vmap_concatenate);
  ops.function("concatenate")
      .signature("(arrays: list[array], axis: int | None = 0, *, stream: StreamOrDevice = None) -> array")
      .alias("concat")
      .summary("Arrays one after another along an axis; None flattens them first.")
      .details(
          "Shapes: equal except along axis. Dtype: the arrays' common one. Errors: ValueError for no arrays or shapes that do not fit.")
      .oracle("np.concatenate(arrays, axis)")
      .sample("(2, 3), (4, 3)", "axis=0")
      .sample("(2, 3), (2, 1), (2, 2)", "axis=-1")
      .sample("(2, 3), (2,)", "axis=None")
      .sample("(0, 3), (2, 3)", "axis=0")
      .rejects("(2, 2), (2, 3)", "axis=0", "ValueError")
      .rejects("(), ()", "axis=0", "ValueError");
  ops.function("stack")
      .signature("(arrays: list[array], axis: int | None = 0, *, stream: StreamOrDevice = None) -> array")
      .summary("Arrays of one shape along a new axis.")
      .details("axis: position of the new axis in the result. Errors: ValueError for no arrays or unequal shapes.")
      .oracle("np.stack(arrays, axis)")
      .sample("(2, 3), (2, 3)", "axis=0")
      .sample("(2, 3), (2, 3), (2, 3)", "axis=-1")
      .sample("(), ()", "axis=0")
      .sample("(0,), (0,)", "axis=1")
      .rejects("(2,), (3,)", "axis=0", "ValueError");
}

}  // namespace plait
