#include "ops/index/scatter.h"
#include "ops/prelude.h"

namespace plait {
namespace {

/// a is (batch..., before..., n, after...), indices (batch..., picked...): both share their first `batch` axes, and
/// `axis` counts all of a's. The result is (batch..., before..., picked..., after...).
struct TakeAttrs {
  int axis = 0;
  int batch = 0;
};

Avals infer_take(const TakeAttrs& attrs, std::span<const Aval> in) {
  Aval out{.shape = {}, .dtype = in[0].dtype};
  for (int i = 0; i < in[0].shape.rank(); ++i) {
    if (i != attrs.axis) {
      out.shape.push_back(in[0].shape[i]);
    } else {
      for (int k = attrs.batch; k < in[1].shape.rank(); ++k) out.shape.push_back(in[1].shape[k]);
    }
  }
  return {out};
}

const char* check_take(const TakeAttrs& attrs, std::span<const Aval> in) {
  if (!is_axis_of(attrs.axis, in[0]) || attrs.batch < 0 || attrs.batch > attrs.axis)
    return "an axis of the array, behind the shared ones";
  return agree(in[0].shape, 0, in[1].shape, 0, attrs.batch) ? nullptr : "equal extents along the shared axes";
}

Array make_take(const TakeAttrs& attrs, const Array& a, const Array& indices) {
  static const OpHandle op("take");
  return op(attrs, {a, indices});
}

// Cotangents go back to the rows they were read from: axes become (batch, picked, rest) and (batch, n, rest).
Array taken_back(const TakeAttrs& attrs, const Array& g, const Array& indices, const Shape& shape) {
  const int picked = indices.rank() - attrs.batch;
  std::vector<int> front;
  for (int i = 0; i < attrs.batch; ++i) front.push_back(i);
  for (int i = 0; i < picked; ++i) front.push_back(attrs.axis + i);
  for (int i = attrs.batch; i < g.rank(); ++i)
    if (i < attrs.axis || i >= attrs.axis + picked) front.push_back(i);
  const Array rows = transpose(g, front);
  Shape update, target, at;
  for (int i = 0; i < attrs.batch; ++i) {
    update.push_back(rows.shape()[i]);
    target.push_back(rows.shape()[i]);
    at.push_back(rows.shape()[i]);
  }
  Dim m = 1;
  for (int i = 0; i < picked; ++i) m *= rows.shape()[attrs.batch + i];
  update.push_back(m);
  at.push_back(m);
  target.push_back(shape[attrs.axis]);
  for (int i = attrs.batch + picked; i < rows.rank(); ++i) {
    update.push_back(rows.shape()[i]);
    target.push_back(rows.shape()[i]);
  }
  const Array sums = scatter_rows_batched(zeros(target, g.dtype()), reshape(indices, at), reshape(rows, update),
                                          ScatterMode::add, attrs.batch);
  std::vector<int> back;  // axis `batch` of the sums returns to its place
  for (int i = 0; i < shape.rank(); ++i)
    back.push_back(i < attrs.batch || i > attrs.axis ? i : i == attrs.axis ? attrs.batch : i + 1);
  return transpose(sums, back);
}

Grads vjp_take(const TakeAttrs& attrs, const VjpArgs& at) {
  Grads grads(2);
  if (at.needed[0]) grads[0] = taken_back(attrs, at.cotangent(), at.input(1), at.input_shape(0));
  return grads;
}

Arrays jvp_take(const TakeAttrs& attrs, const JvpArgs& at) {
  if (!at.tangent(0).defined()) return {Array()};
  return {make_take(attrs, at.tangent(0), at.input(1))};
}

VmapResult vmap_take(const TakeAttrs& attrs, const VmapArgs& at) {
  const bool array = at.axes[0] != kUnbatched, indices = at.axes[1] != kUnbatched;
  if (array && !indices && attrs.batch == 0)
    return {{make_take({behind_batch(attrs.axis), 0}, batch_first(at, 0), at.inputs[1])}, {0}};
  if (!array && attrs.batch == 0) return {{make_take(attrs, at.inputs[0], batch_first(at, 1))}, {attrs.axis}};
  return {{make_take({behind_batch(attrs.axis), attrs.batch + 1}, batch_first_broadcast(at, 0),
                     batch_first_broadcast(at, 1))},
          {0}};
}

}  // namespace

Array take_batched(const Array& a, const Array& at, int batch) { return make_take({batch, batch}, a, at); }

Array take(const Array& a, const Array& indices, std::optional<int> axis) {
  if (!is_integer(indices.dtype()))
    throw DTypeError({.op = "take",
                      .got = "indices of " + std::string(name_of(indices.dtype())),
                      .accepts = "integers",
                      .hint = "astype(int32) converts",
                      .where = here()});
  const Array x = axis ? a : reshape(a, {a.shape().count()});
  return make_take({checked_axis("take", axis.value_or(0), x.rank()), 0}, x, indices);
}

void register_take(OpRegistry& ops) {
  ops.opaque<TakeAttrs>("take")
      .summary("Slices of an array picked by position along one axis.")
      .input("a")
      .input("indices", dtypes::integer, "negative counts from the end")
      .attr("axis", &TakeAttrs::axis, "the axis to pick along, not negative")
      .attr("batch", &TakeAttrs::batch, "leading axes that both share")
      .infer(infer_take)
      .check(check_take)
      .vjp(vjp_take)
      .jvp(jvp_take)
      .vmap(vmap_take);
  ops.function("take")
      .signature(
          "(a: array, /, indices: int | array, axis: int | None = None, *, stream: StreamOrDevice = None) -> array")
      .summary("Slices of an array picked by position along one axis, or elements of the flattened array.")
      .details(
          "Shapes: indices' axes take the place of axis. Negative positions count from the end. Errors: ValueError for an axis that does not exist; IndexError while evaluating for a position outside the axis.")
      .oracle("np.take(a, indices, axis)")
      .sample("(4, 3), [2, 0, -1]", "axis=0")
      .sample("(4, 3), [[0, 2], [1, 1]]", "axis=1")
      .sample("(4, 3), [11, 0]", "axis=None")
      .sample("(4, 3), 2", "axis=0")
      .rejects("(3,), [0]", "axis=1", "ValueError")
      .rejects("(3,), [3]", "axis=0", "IndexError");
}

}  // namespace plait
