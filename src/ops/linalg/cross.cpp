#include "ops/matrices.h"
#include "ops/prelude.h"
#include "ops/view/slice.h"

namespace plait {
namespace linalg {

Array cross(const Array& a, const Array& b, int axis) {
  const char* const op = "linalg.cross";
  const int of_a = checked_axis(op, axis, a.rank()), of_b = checked_axis(op, axis, b.rank());
  const Dim n = a.shape()[of_a], m = b.shape()[of_b];
  const auto is = [](Dim d, int64_t value) { return d.value() == value && d == Dim(value); };
  if (!(is(n, 2) || is(n, 3)) || !(is(m, 2) || is(m, 3)))
    throw ShapeError({.op = op,
                      .got = "a of shape " + to_string(a.shape()) + ", b of shape " + to_string(b.shape()),
                      .accepts = "vectors of 2 or 3 elements along axis " + std::to_string(axis),
                      .where = here()});
  const auto part = [](const Array& x, int at, int64_t i) { return slice_axis(x, at, i, 1, 1); };
  const auto minor = [&](int64_t i, int64_t j) {
    return subtract(multiply(part(a, of_a, i), part(b, of_b, j)), multiply(part(a, of_a, j), part(b, of_b, i)));
  };
  // A third element that is missing is 0.
  const bool flat_a = is(n, 2), flat_b = is(m, 2);
  const Array z = minor(0, 1);
  const auto times_z = [&](int64_t i) {  // a[i] b[2] - a[2] b[i], or what there is of it
    if (flat_a) return multiply(part(a, of_a, i), part(b, of_b, 2));
    if (flat_b) return negative(multiply(part(a, of_a, 2), part(b, of_b, i)));
    return minor(i, 2);
  };
  if (flat_a && flat_b) return concatenate({zeros_like(z), zeros_like(z), z}, axis);
  return concatenate({times_z(1), negative(times_z(0)), z}, axis);
}

}  // namespace linalg

void register_cross(OpRegistry& ops) {
  ops.function("cross")
      .module("core.linalg")
      .signature("(a: array, b: array, axis: int = -1, *, stream: StreamOrDevice = None) -> array")
      .summary("Cross products of vectors along an axis.")
      .details(
          "Vectors have 3 elements, or 2, the third then being 0; the result has 3. The other axes broadcast. Errors: ShapeError for other "
          "lengths and where axes do not broadcast, AxisError.")
      .oracle("oracle.cross(a, b, axis)")
      .sample("(3,), (3,)", "axis=-1")
      .sample("(2, 3), (3,)", "axis=-1")
      .sample("(3, 2), (2, 2)", "axis=0")
      .sample("(2,), (2,)", "axis=-1")
      .sample("(4, 2), (4, 3)", "axis=1")
      .rejects("(4,), (4,)", "", "ShapeError")
      .rejects("(1,), (3,)", "", "ShapeError")
      .rejects("(2, 3), (4, 3)", "", "ValueError")
      .rejects("(3,), (3,)", "axis=2", "AxisError")
      .rejects("(), (3,)", "", "AxisError");
}

}  // namespace plait
