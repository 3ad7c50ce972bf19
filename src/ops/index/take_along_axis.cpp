#include "ops/create/iota.h"
#include "ops/prelude.h"

namespace plait {
namespace {

struct AlongAttrs {
  int axis = 0;
};
struct PutAttrs {
  int axis = 0;
  bool adds = false;
};

Avals infer_take(const AlongAttrs&, std::span<const Aval> in) { return {{in[1].shape, in[0].dtype}}; }
Avals infer_put(const PutAttrs&, std::span<const Aval> in) { return {in[0]}; }

const char* check_take(const AlongAttrs& attrs, std::span<const Aval> in) {
  if (!is_axis_of(attrs.axis, in[0])) return "an axis of the array";
  return agree_except(attrs.axis, in[0].shape, in[1].shape) ? nullptr : "indices of the array's shape but for the axis";
}
const char* check_put(const PutAttrs& attrs, std::span<const Aval> in) {
  if (in[2].dtype != in[0].dtype) return "values of the array's dtype";
  if (!(in[2].shape == in[1].shape)) return "values of the indices' shape";
  return check_take({attrs.axis}, in);
}

Array take_on(const Array& a, const Array& indices, int axis) {
  static const OpHandle op("take_along_axis");
  return op(AlongAttrs{axis}, {a, indices});
}
Array put_on(const Array& a, const Array& indices, const Array& values, int axis, bool adds) {
  static const OpHandle op("put_along_axis");
  return op(PutAttrs{axis, adds}, {a, indices, values});
}

// Each index returns its cotangent to the place it read; repeated indices add up.
Grads vjp_take(const AlongAttrs& attrs, const VjpArgs& at) {
  Grads grads(2);
  if (at.needed[0])
    grads[0] = put_on(zeros(at.input_shape(0), at.cotangent().dtype()), at.input(1), at.cotangent(), attrs.axis, true);
  return grads;
}

Arrays jvp_take(const AlongAttrs& attrs, const JvpArgs& at) {
  return {at.tangent(0).defined() ? take_on(at.tangent(0), at.input(1), attrs.axis) : Array()};
}

VmapResult vmap_take(const AlongAttrs& attrs, const VmapArgs& at) {
  return {{take_on(batch_first_broadcast(at, 0), batch_first_broadcast(at, 1), behind_batch(attrs.axis))}, {0}};
}

// Whether each value is the one that stays where its position repeats: the last one written there.
Array last_writes(const Shape& whole, const Array& indices, int axis) {
  Shape along;
  for (int i = 0; i < indices.rank(); ++i) along.push_back(i == axis ? indices.shape()[i] : Dim(1));
  const Array order = broadcast_to(reshape(iota(along[axis], DType::int32), along), indices.shape());
  const Array last = put_on(zeros(whole, DType::int32), indices, order, axis, false);
  return equal(take_on(last, indices, axis), order);
}

Grads vjp_put(const PutAttrs& attrs, const VjpArgs& at) {
  Grads grads(3);
  const Array& g = at.cotangent();
  if (at.needed[0])
    grads[0] = attrs.adds ? g : put_on(g, at.input(1), zeros(at.input_shape(2), g.dtype()), attrs.axis, false);
  if (at.needed[2]) {
    grads[2] = take_on(g, at.input(1), attrs.axis);
    if (!attrs.adds)
      grads[2] = where(last_writes(at.input_shape(0), at.input(1), attrs.axis), grads[2], zeros_like(grads[2]));
  }
  return grads;
}

Arrays jvp_put(const PutAttrs& attrs, const JvpArgs& at) {
  const Array whole = at.tangent(0).defined() ? at.tangent(0) : zeros_like(at.input(0));
  const Array part = at.tangent(2).defined() ? at.tangent(2) : zeros_like(at.input(2));
  return {put_on(whole, at.input(1), part, attrs.axis, attrs.adds)};
}

VmapResult vmap_put(const PutAttrs& attrs, const VmapArgs& at) {
  return {{put_on(batch_first_broadcast(at, 0), batch_first_broadcast(at, 1), batch_first_broadcast(at, 2),
                  behind_batch(attrs.axis), attrs.adds)},
          {0}};
}

void check_indices(const char* op, const Array& a, const Array& indices) {
  if (!is_integer(indices.dtype()))
    throw DTypeError({.op = op,
                      .got = "indices of " + std::string(name_of(indices.dtype())),
                      .accepts = "integers",
                      .hint = "astype(int32) converts",
                      .where = here()});
  if (indices.rank() != a.rank())
    throw ShapeError(
        {.op = op,
         .got = "indices of shape " + to_string(indices.shape()) + " for an array of shape " + to_string(a.shape()),
         .accepts = "as many axes as the array",
         .where = here()});
}

// All but `axis` broadcast against each other; returns both with the common extents.
std::pair<Shape, Shape> common_shapes(const char* op, const Shape& a, const Shape& indices, int axis) {
  Shape rest_a = a, rest_i = indices;
  rest_a[axis] = rest_i[axis] = 1;
  Shape whole = broadcast_shapes(op, rest_a, rest_i), picks = whole;
  whole[axis] = a[axis];
  picks[axis] = indices[axis];
  return {whole, picks};
}

}  // namespace

Array take_along_axis(const Array& a, const Array& indices, std::optional<int> axis) {
  if (!axis) return take_along_axis(reshape(a, {a.shape().count()}), reshape(indices, {indices.shape().count()}), 0);
  check_indices("take_along_axis", a, indices);
  const int at = checked_axis("take_along_axis", *axis, a.rank());
  const auto [whole, picks] = common_shapes("take_along_axis", a.shape(), indices.shape(), at);
  return take_on(broadcast_to(a, whole), broadcast_to(indices, picks), at);
}

Array put_along_axis(const Array& a, const Array& indices, const Array& values, std::optional<int> axis) {
  if (!axis) {
    const Array flat = put_along_axis(reshape(a, {a.shape().count()}), reshape(indices, {indices.shape().count()}),
                                      reshape(broadcast_to(values, indices.shape()), {indices.shape().count()}), 0);
    return reshape(flat, a.shape());
  }
  check_indices("put_along_axis", a, indices);
  const int at = checked_axis("put_along_axis", *axis, a.rank());
  const auto [whole, picks] = common_shapes("put_along_axis", a.shape(), indices.shape(), at);
  if (!(whole == a.shape()))
    throw ShapeError(
        {.op = "put_along_axis",
         .got = "indices of shape " + to_string(indices.shape()) + " for an array of shape " + to_string(a.shape()),
         .accepts = "extents that are equal or 1 in the indices, but for the axis",
         .where = here()});
  return put_on(a, broadcast_to(indices, picks), broadcast_to(converted(values, a.dtype()), picks), at, false);
}

void register_take_along_axis(OpRegistry& ops) {
  ops.opaque<AlongAttrs>("take_along_axis")
      .summary("Values picked by position along one axis, a position for each.")
      .input("a")
      .input("indices", dtypes::integer, "negative counts from the end")
      .attr("axis", &AlongAttrs::axis, "the axis, not negative")
      .infer(infer_take)
      .check(check_take)
      .vjp(vjp_take)
      .jvp(jvp_take)
      .vmap(vmap_take);
  ops.opaque<PutAttrs>("put_along_axis")
      .summary("A copy with values written to, or added at, positions along one axis.")
      .input("a")
      .input("indices", dtypes::integer, "negative counts from the end")
      .input("values", dtypes::any, "shape of indices, dtype of a")
      .attr("axis", &PutAttrs::axis, "the axis, not negative")
      .attr("adds", &PutAttrs::adds, "values are added")
      .infer(infer_put)
      .check(check_put)
      .vjp(vjp_put)
      .jvp(jvp_put)
      .vmap(vmap_put);
  ops.function("take_along_axis")
      .signature("(a: array, /, indices: array, axis: int | None = -1, *, stream: StreamOrDevice = None) -> array")
      .summary("Values picked by position along one axis, a position for each; None flattens both.")
      .details(
          "Shapes: indices has as many axes as a, and broadcasts with it but for axis; the result has the shape of indices. Negative positions count from the end. Errors: ValueError; IndexError while evaluating for a position outside the axis.")
      .oracle("np.take_along_axis(a, indices, axis)")
      .sample("(2, 3), [[0, 2], [-1, 1]]", "axis=1")
      .sample("(3, 2), [[2, 0]]", "axis=0")
      .sample("(4,), [3, 3, 0]", "axis=None")
      .rejects("(2, 3), [0]", "axis=1", "ValueError")
      .rejects("(2,), [5]", "axis=0", "IndexError");
  ops.function("put_along_axis")
      .signature(
          "(a: array, /, indices: array, values: array, axis: int | None = None, *, stream: StreamOrDevice = None) -> array")
      .summary(
          "A copy of the array with values written to positions along one axis; None writes to the flattened array.")
      .details(
          "Shapes: indices has as many axes as a and broadcasts to it but for axis; values broadcast to indices. Of repeated positions the last wins. Errors: ValueError; IndexError while evaluating.")
      .oracle("oracle.put_along_axis(a, indices, values, axis)")
      .sample("(2, 3), [[0], [2]], (2, 1)", "axis=1")
      .sample("(4,), [3, 0], (2,)", "axis=None")
      .sample("(2, 4), [[3, 0, -1], [1, 1, 1]], (2, 3)", "axis=1")
      .rejects("(2, 3), [0], (1,)", "axis=1", "ValueError");
}

}  // namespace plait
