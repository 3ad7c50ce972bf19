#include "ops/prelude.h"

namespace plait {

Arrays meshgrid(const Arrays& arrays, bool sparse, std::string_view indexing) {
  if (indexing != "xy" && indexing != "ij")
    throw ArgumentError({.op = "meshgrid",
                         .got = "indexing '" + std::string(indexing) + "'",
                         .accepts = "'xy' or 'ij'",
                         .where = here()});
  const int rank = static_cast<int>(arrays.size());
  const bool swapped = indexing == "xy" && rank > 1;  // the second array runs along the first axis
  Arrays out;
  for (int i = 0; i < rank; ++i) {
    Shape shape;
    for (int k = 0; k < rank; ++k) shape.push_back(1);
    shape[swapped && i < 2 ? 1 - i : i] = arrays[i].shape().count();
    out.push_back(reshape(arrays[i], shape));
  }
  return sparse ? out : broadcast_arrays(out);
}

void register_meshgrid(OpRegistry& ops) {
  ops.function("meshgrid")
      .signature(
          "(*arrays: array, sparse: bool = False, indexing: str = 'xy', stream: StreamOrDevice = None) -> tuple[array, ...]")
      .summary("Coordinates of a grid from the coordinates of each of its axes.")
      .details(
          "Arrays are flattened. sparse: extents of 1 instead of repeated values. indexing: 'xy' lets the first array run along the second axis, 'ij' along the first. Errors: ValueError.")
      .oracle("tuple(np.meshgrid(*arrays, sparse=sparse, indexing=indexing))")
      .sample("(2,), (3,)", "sparse=False, indexing='xy'")
      .sample("(2,), (3,), (4,)", "sparse=True, indexing='ij'")
      .sample("(2,)", "sparse=False, indexing='xy'")
      .sample("(2, 2), ()", "sparse=False, indexing='xy'")
      .rejects("(2,), (3,)", "indexing='zz'", "ValueError");
}

}  // namespace plait
