#include "ops/prelude.h"
#include "ops/view/slice.h"

namespace plait {
namespace {

struct TopPositionsAttrs {
  Dim k = 0;
};

Avals infer_top_positions(const TopPositionsAttrs& attrs, std::span<const Aval> in) {
  Aval out{in[0].shape, DType::uint32};
  out.shape.back() = attrs.k;
  return {out};
}

const char* check_top_positions(const TopPositionsAttrs& attrs, std::span<const Aval> in) {
  return in[0].shape.rank() >= 1 && attrs.k >= 0 && attrs.k <= in[0].shape.back() ? nullptr
                                                                                  : "0 to as many as a row has";
}

Array top_positions(const Array& a, Dim k) {
  static const OpHandle op("top_positions");
  return op(TopPositionsAttrs{k}, {a});
}

VmapResult vmap_top_positions(const TopPositionsAttrs& attrs, const VmapArgs& at) {
  return {{top_positions(batch_first(at, 0), attrs.k)}, {0}};
}

}  // namespace

Array topk(const Array& a, int64_t k, std::optional<int> axis) {
  if (!axis) return topk(reshape(a, {a.shape().count()}), k, -1);
  const int at = checked_axis("topk", *axis, a.rank());
  const Dim n = a.shape()[at];
  if (k < 0 || n < k)
    throw ArgumentError({.op = "topk",
                         .got = "k of " + std::to_string(k) + " for " + std::to_string(n.value()) +
                                " elements along axis " + std::to_string(at),
                         .accepts = "0 to the number of elements",
                         .where = here()});
  if (n < 4 * k) return slice_axis(sort(a, at), at, n - k, k);
  const Array rows = swapaxes(a, at, -1);
  return swapaxes(take_along_axis(rows, top_positions(rows, k), -1), at, -1);
}

void register_topk(OpRegistry& ops) {
  ops.opaque<TopPositionsAttrs>("top_positions")
      .summary("Where the k largest elements of each row of the last axis stand, from the smallest of them on.")
      .input("a")
      .attr("k", &TopPositionsAttrs::k, "how many")
      .infer(infer_top_positions)
      .check(check_top_positions)
      .vmap(vmap_top_positions)
      .not_differentiable("positions do not change smoothly");
  ops.function("topk")
      .signature("(a: array, /, k: int, axis: None | int = -1, *, stream: StreamOrDevice = None) -> array")
      .summary("The k largest elements along an axis, from the smallest of them to the largest; NaN counts as largest.")
      .details(
          "axis: one, or None for the flattened array. Errors: ValueError for k below 0 or above the number of elements, an axis that does not exist.")
      .oracle(
          "np.take(np.sort(a, axis), np.arange(np.sort(a, axis).shape[axis] - k, np.sort(a, axis).shape[axis]), axis)")
      .sample("(9,)", "k=2, axis=-1")
      .sample("(3, 8)", "k=2, axis=1")
      .sample("(8, 3)", "k=2, axis=0")
      .sample("(3, 4)", "k=3, axis=1")
      .sample("(3,)", "k=0, axis=-1")
      .rejects("(3,)", "k=4", "ValueError")
      .rejects("(3,)", "k=-1", "ValueError");
}

}  // namespace plait
