#include "ops/create/iota.h"
#include "ops/index/scatter.h"
#include "ops/prelude.h"

namespace plait {
namespace {

/// Positions in a 1-d array; all bound: another window is no new plan.
struct StridedAttrs {
  Shape shape;
  Shape strides;  // elements; may be negative or 0
  Dim offset = 0;
};

Array strided(const Array& flat, StridedAttrs attrs) {
  static const OpHandle op("as_strided");
  return op(std::move(attrs), {flat});
}

/// The first and the last element that are seen; nothing when none is.
std::optional<std::pair<Dim, Dim>> seen(const StridedAttrs& attrs) {
  Dim lowest = attrs.offset, highest = attrs.offset;
  for (size_t i = 0; i < attrs.shape.size(); ++i) {
    if (attrs.shape[i] == Dim(0)) return std::nullopt;
    const Dim last = (attrs.shape[i] - Dim(1)) * attrs.strides[i];
    (attrs.strides[i] < Dim(0) ? lowest : highest) += last;
  }
  return std::pair(lowest, highest);
}

const char* check_strided(const StridedAttrs& attrs, std::span<const Aval> in) {
  if (in[0].shape.rank() != 1) return "an array with one axis";
  if (attrs.strides.size() != attrs.shape.size()) return "one stride per axis";
  if (!all_at_least(attrs.shape, 0)) return "extents of at least 0";
  const auto places = seen(attrs);
  if (places && (places->first < Dim(0) || places->second >= in[0].shape[0])) return "elements of the array";
  return nullptr;
}

Avals infer_strided(const StridedAttrs& attrs, std::span<const Aval> in) { return {{attrs.shape, in[0].dtype}}; }

bool view_strided(const StridedAttrs& attrs, const Aval&, const Strides& strides, const Aval& out, ViewLayout& to) {
  if (out.shape.count_value() > 0) to.offset = attrs.offset.value() * strides[0];
  for (const Dim& step : attrs.strides) to.strides.push_back(step.value() * strides[0]);
  return true;
}

// Elements that are seen more than once collect the gradients of all their places.
Grads vjp_strided(const StridedAttrs& attrs, const VjpArgs& at) {
  const Dim n = at.input_shape(0)[0];
  const Shape flat{attrs.shape.count()};
  const Array positions = reshape(strided(iota(n, DType::int64), attrs), flat);
  return {scatter_rows(zeros({n}, at.cotangent().dtype()), positions, reshape(at.cotangent(), flat), ScatterMode::add)};
}

Arrays jvp_strided(const StridedAttrs& attrs, const JvpArgs& at) { return {strided(at.tangent(0), attrs)}; }

VmapResult vmap_strided(const StridedAttrs& attrs, const VmapArgs& at) {
  const Array rows = batch_first(at, 0);
  const Dim n = rows.shape()[1];
  StridedAttrs all{{at.size}, {n}, attrs.offset};
  for (const Dim& d : attrs.shape) all.shape.push_back(d);
  for (const Dim& d : attrs.strides) all.strides.push_back(d);
  return {{strided(reshape(rows, {at.size * n}), std::move(all))}, {0}};
}

void check_bounds(const Array& a, const StridedAttrs& attrs) {
  if (!all_at_least(attrs.shape, 0))
    throw ShapeError({.op = "as_strided",
                      .got = "the shape " + to_string(attrs.shape),
                      .accepts = "extents of at least 0",
                      .where = here()});
  const auto places = seen(attrs);
  const Dim count = a.shape().count();
  if (places && (places->first < Dim(0) || places->second >= count))
    throw ArgumentError({.op = "as_strided",
                         .got = "the shape " + to_string(attrs.shape) + " with strides " + to_string(attrs.strides) +
                                " and offset " + std::to_string(attrs.offset.value()) + ", which sees elements " +
                                std::to_string(places->first.value()) + " to " +
                                std::to_string(places->second.value()) + " of an array of shape " +
                                to_string(a.shape()),
                         .accepts = "elements 0 to " + std::to_string(count.value() - 1),
                         .where = here()});
}

}  // namespace

Array as_strided(const Array& a, const std::optional<Shape>& shape, const std::optional<IntList>& strides,
                 int64_t offset) {
  StridedAttrs attrs{shape ? *shape : a.shape(), {}, offset};
  if (strides) {
    attrs.strides = Shape(std::span<const int64_t>(*strides));
  } else {
    attrs.strides.resize(attrs.shape.size());
    Dim step = 1;
    for (size_t i = attrs.shape.size(); i-- > 0; step *= attrs.shape[i]) attrs.strides[i] = step;
  }
  if (attrs.strides.size() != attrs.shape.size())
    throw ArgumentError(
        {.op = "as_strided",
         .got = std::to_string(attrs.strides.size()) + " strides for the shape " + to_string(attrs.shape),
         .accepts = "one stride per axis",
         .where = here()});
  check_bounds(a, attrs);
  return strided(reshape(a, {a.shape().count()}), std::move(attrs));
}

void register_as_strided(OpRegistry& ops) {
  ops.view<StridedAttrs>("as_strided")
      .summary("Elements of a 1-d array at places that strides give.")
      .input("a")
      .attr("shape", &StridedAttrs::shape, "extents of the result")
      .attr("strides", &StridedAttrs::strides, "steps between neighbours along each axis, in elements")
      .attr("offset", &StridedAttrs::offset, "the first element")
      .infer(infer_strided)
      .check(check_strided)
      .view(view_strided)
      .vjp(vjp_strided)
      .jvp(jvp_strided)
      .vmap(vmap_strided);
  ops.function("as_strided")
      .signature(
          "(a: array, /, shape: Sequence[int] | None = None, strides: Sequence[int] | None = None, offset: int = 0, *, stream: StreamOrDevice = None) -> array")
      .summary(
          "The array's elements at any places: element (i, j, ...) is element offset + i strides[0] + j strides[1] + ... of the elements in row-major order.")
      .details(
          "shape: None for that of a. strides: in elements, one per axis, may be negative or 0; None for row-major ones. Places may overlap; gradients of overlapping places add up. Errors: ValueError for places outside of the array, where MLX reads past it.")
      .oracle(
          "np.lib.stride_tricks.as_strided(np.ascontiguousarray(a).reshape(-1)[offset:], shape, [s * a.itemsize for s in strides])")
      .sample("(12,)", "shape=(4, 3), strides=(2, 1), offset=2")
      .sample("(3, 4)", "shape=(2, 2, 2), strides=(4, 0, 1), offset=0")
      .rejects("(6,)", "shape=(3, 3), strides=(2, 1), offset=2", "ValueError")
      .rejects("(6,)", "shape=(3,), strides=(2, 1), offset=0", "ValueError");
}

}  // namespace plait
