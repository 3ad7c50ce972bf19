#include "ops/create/iota.h"
#include "ops/index/scatter.h"
#include "ops/prelude.h"
#include "ops/view/slice.h"

namespace plait {
namespace {

// Whether each element of a sorted vector differs from the one before; NaN is one value.
Array first_of_kind(const Array& sorted) {
  const Dim n = sorted.shape()[0];
  const Array later = slice_axis(sorted, 0, 1, n - 1), earlier = slice_axis(sorted, 0, 0, n - 1);
  Array differs = not_equal(later, earlier);
  if (is_inexact(sorted.dtype()))
    differs = logical_and(differs, logical_not(logical_and(isnan(later), isnan(earlier))));
  return concatenate({ones({1}, DType::bool_), differs}, 0);
}

}  // namespace

Arrays unique(const Array& a, int64_t size, bool return_index, bool return_inverse, bool return_counts,
              const std::optional<Array>& fill_value) {
  if (size < 0)
    throw ArgumentError(
        {.op = "unique", .got = "size " + std::to_string(size), .accepts = "0 and more", .where = here()});
  const Array flat = reshape(a, {a.shape().count()});
  const Dim n = flat.shape()[0];
  if (n == 0) {
    if (size > 0 && !fill_value)
      throw ArgumentError(
          {.op = "unique", .got = "an empty array", .accepts = "a fill_value for its results", .where = here()});
    Arrays out{full({size}, fill_value.value_or(Array(0)), a.dtype())};
    if (return_index) out.push_back(zeros({size}, DType::uint32));
    if (return_inverse) out.push_back(zeros(a.shape(), DType::uint32));
    if (return_counts) out.push_back(zeros({size}, DType::int32));
    return out;
  }
  const Array order = argsort(flat, 0);  // stable: of equal elements the first comes first
  const Array sorted = take(flat, order, 0);
  const Array fresh = first_of_kind(sorted);
  const Array rank = subtract(cumsum(converted(fresh, DType::int32), 0), Array(1));
  // One place more than asked for takes what is left over.
  const Array beyond(Scalar(size), DType::int32);
  const Array slot = minimum(rank, beyond);
  const Array first_slot = where(fresh, slot, beyond);
  const auto firsts = [&](const Array& values, const Array& fill) {
    const Array start = broadcast_to(converted(fill, values.dtype()), {size + 1});
    return slice_axis(scatter_rows(start, first_slot, values, ScatterMode::set), 0, 0, size);
  };
  const auto first = [](const Array& values) { return squeeze(slice_axis(values, 0, 0, 1), 0); };
  Arrays out{firsts(sorted, fill_value.value_or(first(sorted)))};
  if (return_index) out.push_back(firsts(order, first(order)));
  if (return_inverse)
    out.push_back(reshape(
        scatter_rows(zeros({n}, DType::uint32), order, converted(rank, DType::uint32), ScatterMode::set), a.shape()));
  if (return_counts)
    out.push_back(slice_axis(
        scatter_rows(zeros({size + 1}, DType::int32), slot, ones({n}, DType::int32), ScatterMode::add), 0, 0, size));
  return out;
}

void register_unique(OpRegistry& ops) {
  ops.function("unique")
      .signature(
          "(a: array, /, size: int, return_index: bool = False, return_inverse: bool = False, return_counts: bool = False, fill_value: scalar | array | None = None, *, stream: StreamOrDevice = None) -> array | tuple[array, ...]")
      .summary("The smallest `size` different elements, sorted, without a size that depends on them.")
      .details(
          "Where there are fewer, fill_value follows, or the smallest element. return_index: where each stood first; return_inverse: for each element its place; return_counts: how often each occurs. Dtypes: that of a, uint32, uint32, int32. Errors: ValueError for a negative size or nothing to fill with.")
      .oracle("oracle.unique(a, size, return_index, return_inverse, return_counts, fill_value)")
      .not_differentiable("positions do not change smoothly")
      .sample("[3.0, 1.0, 3.0]", "size=2")
      .sample("(2, 30)", "size=70, return_inverse=True")
      .sample("[nan, 1.0, nan]", "size=3, return_counts=True")
      .sample("[3.0, 1.0, 3.0]", "size=4, return_index=True, return_inverse=True, return_counts=True")
      .sample("[[2.0, 1.0], [1.0, 4.0]]", "size=5, fill_value=-1.0")
      .rejects("(0,)", "size=2", "ValueError")
      .rejects("(3,)", "size=-1", "ValueError");
}

}  // namespace plait
