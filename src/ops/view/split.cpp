#include "ops/prelude.h"
#include "ops/view/slice.h"

namespace plait {

Arrays split(const Array& a, const IntOrInts& indices_or_sections, int axis) {
  axis = checked_axis("split", axis, a.rank());
  const Dim n = a.shape()[axis];
  Arrays parts;
  if (const auto* sections = std::get_if<int64_t>(&indices_or_sections)) {
    if (*sections <= 0 || !(n % *sections == 0))
      throw ShapeError({.op = "split",
                        .got = std::to_string(*sections) + " parts of an axis with extent " + std::to_string(n.value()),
                        .accepts = "a number of parts that divides the extent",
                        .hint = "a list of positions cuts into unequal parts",
                        .where = here()});
    const Dim size = n / *sections;
    for (int64_t i = 0; i < *sections; ++i) parts.push_back(slice_axis(a, axis, size * i, size));
    return parts;
  }
  Dim start = 0;
  const auto cut = [&](Dim stop) {
    parts.push_back(slice_axis(a, axis, start, stop > start ? stop - start : Dim(0)));
    start = stop;
  };
  for (int64_t position : std::get<std::vector<int64_t>>(indices_or_sections)) {
    Dim at = position < 0 ? n + position : Dim(position);
    if (at < 0) at = 0;
    cut(at > n ? n : at);
  }
  cut(n);
  return parts;
}

Arrays unstack(const Array& x, int axis) {
  axis = checked_axis("unstack", axis, x.rank());
  Arrays parts;
  const int64_t n = x.shape()[axis].fixed();
  for (int64_t i = 0; i < n; ++i) parts.push_back(squeeze(slice_axis(x, axis, i, 1), axis));
  return parts;
}

void register_split(OpRegistry& ops) {
  ops.function("split")
      .signature(
          "(a: array, /, indices_or_sections: int | Sequence[int], axis: int = 0, *, stream: StreamOrDevice = None) -> list[array]")
      .method(
          "(indices_or_sections: int | tuple[int, ...], axis: int = 0, *, stream: StreamOrDevice = None) -> list[array]")
      .summary("The array cut along an axis: into equal parts, or at positions.")
      .details(
          "indices_or_sections: a number of parts that divides the extent, or positions, of which negative ones count from the end. Parts are views. Errors: ValueError.")
      .oracle("np.split(a, indices_or_sections, axis)")
      .sample("(6, 2)", "indices_or_sections=3")
      .sample("(2, 6)", "indices_or_sections=[2, 5], axis=1")
      .sample("(6,)", "indices_or_sections=[-1]")
      .sample("(0, 2)", "indices_or_sections=2")
      .rejects("(5,)", "indices_or_sections=2", "ValueError")
      .rejects("()", "indices_or_sections=1", "ValueError");
  ops.function("unstack")
      .signature("(x: array, /, *, axis: int = 0, stream: StreamOrDevice = None) -> tuple[array, ...]")
      .summary("The slices of an array along an axis, without it.")
      .details(
          "Shapes: (..., n, ...) -> n arrays without that axis. Dtype: that of x. Errors: ValueError for an axis that does not exist.")
      .oracle("tuple(np.moveaxis(x, axis, 0))")
      .sample("(2, 3)", "axis=0")
      .sample("(2, 3)", "axis=-1")
      .rejects("()", "axis=0", "ValueError");
}

}  // namespace plait
