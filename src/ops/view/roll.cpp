#include "ops/view/roll.h"

#include "ops/prelude.h"
#include "ops/view/slice.h"

namespace plait {

Array rolled(const Array& a, int axis, Dim shift) {
  const Dim n = a.shape()[axis];
  if (n == 0) return a;
  const Dim by = shift % n;
  if (by == 0) return a;
  return concatenate({slice_axis(a, axis, n - by, by), slice_axis(a, axis, 0, n - by)}, axis);
}

Array roll(const Array& a, const IntList& shift, const Axes& axis) {
  if (!axis) {
    int64_t total = 0;
    for (int64_t s : shift) total += s;
    return reshape(rolled(reshape(a, {a.shape().count()}), 0, total), a.shape());
  }
  if (shift.size() != axis->size() && shift.size() != 1)
    throw ShapeError({.op = "roll",
                      .got = std::to_string(shift.size()) + " shifts for " + std::to_string(axis->size()) + " axes",
                      .accepts = "one shift, or one for each axis",
                      .where = here()});
  Array out = a;
  for (size_t i = 0; i < axis->size(); ++i)
    out = rolled(out, checked_axis("roll", (*axis)[i], a.rank()), shift[shift.size() == 1 ? 0 : i]);
  return out;
}

void register_roll(OpRegistry& ops) {
  ops.function("roll")
      .signature(
          "(a: array, shift: int | tuple[int], axis: None | int | tuple[int] = None, /, *, stream: StreamOrDevice = None) -> array")
      .summary(
          "Elements moved along axes, those that leave at one end coming back at the other; without axes the flattened array.")
      .details("shift: one number, or one for each axis. Errors: ValueError.")
      .oracle("np.roll(a, shift, axis)")
      .sample("(4,)", "shift=1, axis=None")
      .sample("(2, 3)", "shift=1, axis=None")
      .sample("(2, 3)", "shift=(1, -2), axis=(0, 1)")
      .sample("(4,)", "shift=-9, axis=0")
      .sample("(0,)", "shift=1, axis=0")
      .rejects("(3,)", "shift=1, axis=1", "ValueError");
}

}  // namespace plait
