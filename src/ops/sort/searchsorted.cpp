#include "ops/prelude.h"

namespace plait {
namespace {

struct SearchsortedAttrs {
  bool right = false;
};

Avals infer_searchsorted(const SearchsortedAttrs&, std::span<const Aval> in) { return {{in[1].shape, DType::uint32}}; }

const char* check_searchsorted(const SearchsortedAttrs&, std::span<const Aval> in) {
  const int rows = in[0].shape.rank() - 1;
  if (in[0].dtype != in[1].dtype) return "values of the rows' dtype";
  return rows >= 0 && agree(in[0].shape, 0, in[1].shape, 0, rows) ? nullptr
                                                                  : "a row, or one for each leading axis of values";
}

VmapResult vmap_searchsorted(const SearchsortedAttrs& attrs, const VmapArgs& at) {
  static const OpHandle op("searchsorted");
  const bool one_row = at.axes[0] == kUnbatched && at.inputs[0].rank() == 1;
  return {{op(attrs, {one_row ? at.inputs[0] : batch_first_broadcast(at, 0), batch_first_broadcast(at, 1)})}, {0}};
}

}  // namespace

Array searchsorted(const Array& sorted_sequence, const Array& values, std::string_view side) {
  if (sorted_sequence.rank() != 1)
    throw ShapeError({.op = "searchsorted",
                      .got = "a sorted sequence of shape " + to_string(sorted_sequence.shape()),
                      .accepts = "one axis",
                      .where = here()});
  if (side != "left" && side != "right")
    throw ArgumentError({.op = "searchsorted",
                         .got = "side '" + std::string(side) + "'",
                         .accepts = "'left' or 'right'",
                         .where = here()});
  const DType common = promote(sorted_sequence.dtype(), values.dtype());
  static const OpHandle op("searchsorted");
  return op(SearchsortedAttrs{side == "right"}, {converted(sorted_sequence, common), converted(values, common)});
}

void register_searchsorted(OpRegistry& ops) {
  ops.opaque<SearchsortedAttrs>("searchsorted")
      .summary("Where values would go into sorted rows.")
      .input("sorted", dtypes::any, "(..., n)")
      .input("values", dtypes::any, "as many leading axes, each with a row of its own, or any shape for a single row")
      .attr("right", &SearchsortedAttrs::right, "behind equal elements")
      .infer(infer_searchsorted)
      .check(check_searchsorted)
      .vmap(vmap_searchsorted)
      .not_differentiable("positions do not change smoothly");
  ops.function("searchsorted")
      .signature(
          "(sorted_sequence: array, values: array, /, side: str = 'left', *, stream: StreamOrDevice = None) -> array")
      .summary(
          "Positions at which values go into a sorted sequence so that it stays sorted: before equal elements, or behind with side 'right'.")
      .details(
          "sorted_sequence: one axis. values: any shape, the result's. Dtype: uint32. Errors: ValueError for another side or shape.")
      .oracle("np.searchsorted(sorted_sequence, values, side)")
      .not_differentiable("positions do not change smoothly")
      .sample("[1.0, 2.0, 2.0, 3.0], [2.0, 0.0, 9.0, 3.0]", "side='left'")
      .sample("[1.0, 2.0, 2.0, 3.0], [[2.0, 0.0], [9.0, 3.0]]", "side='right'")
      .rejects("(2, 2), (2,)", "", "ValueError")
      .rejects("(2,), (2,)", "side='mid'", "ValueError");
}

}  // namespace plait
