#include "ops/prelude.h"

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
