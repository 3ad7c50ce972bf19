#include "ops/prelude.h"
#include "ops/view/slice.h"

namespace plait {

Array diff(const Array& a, int64_t n, int axis) {
  if (n < 0)
    throw ArgumentError({.op = "diff", .got = "order " + std::to_string(n), .accepts = "0 and more", .where = here()});
  if (n == 0) return a;
  const int at = checked_axis("diff", axis, a.rank());
  Array out = a;
  for (int64_t i = 0; i < n && out.shape()[at] > 0; ++i) {
    const Dim left = out.shape()[at] - 1;
    const Array later = slice_axis(out, at, 1, left), earlier = slice_axis(out, at, 0, left);
    out = out.dtype() == DType::bool_ ? not_equal(later, earlier) : subtract(later, earlier);
  }
  return out;
}

void register_diff(OpRegistry& ops) {
  ops.function("diff")
      .signature("(a: array, /, n: int = 1, axis: int = -1, *, stream: StreamOrDevice = None) -> array")
      .summary("Differences of neighbours along an axis, n times over.")
      .details("Errors: ValueError for a negative n or an axis that does not exist.")
      .oracle("np.diff(a, n, axis)")
      .sample("(4,)", "n=1, axis=-1")
      .sample("(3, 4)", "n=2, axis=0")
      .sample("(2,)", "n=0, axis=0")
      .sample("(2,)", "n=5, axis=0")
      .rejects("()", "n=1, axis=0", "ValueError")
      .rejects("(3,)", "n=-1", "ValueError");
}

}  // namespace plait
