#include "ops/prelude.h"
#include "ops/view/slice.h"
#include "plait/more_ops.h"

namespace plait {
namespace {

void check_count(const char* op, int64_t n) {
  if (n < 0)
    throw ArgumentError({.op = op, .got = std::to_string(n) + " repeats", .accepts = "0 and more", .where = here()});
}

}  // namespace

Array repeat(const Array& array, int64_t repeats, std::optional<int> axis) {
  check_count("repeat", repeats);
  const Array a = axis ? array : reshape(array, {array.shape().count()});
  const int at = checked_axis("repeat", axis.value_or(0), a.rank());
  Shape wide = a.shape(), out = a.shape();
  wide.insert(wide.begin() + at + 1, Dim(repeats));
  out[at] *= repeats;
  return reshape(broadcast_to(expand_dims(a, at + 1), wide), out);
}

// The result's extent is the sum of the counts, so it has to be known.
Array repeat_each(const Array& array, const Array& repeats, std::optional<int> axis) {
  const Array a = axis ? array : reshape(array, {array.shape().count()});
  const int at = checked_axis("repeat", axis.value_or(0), a.rank());
  if (is_inexact(repeats.dtype()) || repeats.dtype() == DType::bool_)
    throw DTypeError({.op = "repeat",
                      .got = "repeats of " + std::string(name_of(repeats.dtype())),
                      .accepts = "integers",
                      .where = here()});
  const Dim n = a.shape()[at], given = repeats.shape().count();
  if (repeats.rank() > 1 || !(given == n || given == Dim(1)))
    throw ShapeError({.op = "repeat",
                      .got = "repeats of shape " + to_string(repeats.shape()) + " for axis " + std::to_string(at) +
                             " of an array of shape " + to_string(a.shape()),
                      .accepts = "one number, or one for each element of the axis",
                      .where = here()});
  if (n == Dim(0)) return a;
  const Array counts = broadcast_to(converted(reshape(repeats, {given}), DType::int64), {n});
  check_count("repeat", min(counts).item<int64_t>());
  const Array ends = cumsum(counts, 0);
  const int64_t total = slice_axis(ends, 0, n - 1, 1).item<int64_t>();
  return take(a, searchsorted(ends, arange(Scalar(0), Scalar(total), std::nullopt, DType::int64), "right"), at);
}

Array tile(const Array& a, const IntList& reps) {
  const int rank = std::max(a.rank(), static_cast<int>(reps.size()));
  Shape narrow, wide, out;
  for (int i = 0; i < rank; ++i) {
    const int from = i - (rank - a.rank()), by = i - (rank - static_cast<int>(reps.size()));
    const Dim n = from >= 0 ? a.shape()[from] : Dim(1);
    const int64_t times = by >= 0 ? reps[static_cast<size_t>(by)] : 1;
    check_count("tile", times);
    narrow.push_back(1);
    narrow.push_back(n);
    wide.push_back(times);
    wide.push_back(n);
    out.push_back(n * times);
  }
  return reshape(broadcast_to(reshape(a, narrow), wide), out);
}

void register_repeat(OpRegistry& ops) {
  ops.function("repeat")
      .signature("(array: array, repeats: int, axis: int | None = None, *, stream: StreamOrDevice = None) -> array")
      .summary("Each element along an axis several times in a row; None flattens first.")
      .details("Errors: ValueError for a negative count or an axis that does not exist.")
      .oracle("np.repeat(array, repeats, axis)")
      .sample("(2, 3)", "repeats=2, axis=0")
      .sample("(2, 3)", "repeats=3, axis=-1")
      .sample("(2, 3)", "repeats=2, axis=None")
      .sample("()", "repeats=2, axis=None")
      .sample("(2,)", "repeats=0, axis=0")
      .rejects("(2,)", "repeats=-1", "ValueError");
  ops.function("tile")
      .signature("(a: array, reps: int | Sequence[int], /, *, stream: StreamOrDevice = None) -> array")
      .summary("The whole array several times along each axis.")
      .details("reps: one count per axis, aligned at the last axis. Errors: ValueError for a negative count.")
      .oracle("np.tile(a, reps)")
      .sample("(2, 3)", "reps=2")
      .sample("(2, 3)", "reps=(2, 1, 2)")
      .sample("()", "reps=(2,)")
      .sample("(2,)", "reps=0")
      .rejects("(2,)", "reps=-1", "ValueError");
}

}  // namespace plait
