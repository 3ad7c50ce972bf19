#include "ops/prelude.h"

namespace plait {

Array flatten(const Array& a, int start_axis, int end_axis) {
  if (a.rank() == 0) return reshape(a, {1});
  const int from = checked_axis("flatten", start_axis, a.rank());
  const int to = checked_axis("flatten", end_axis, a.rank());
  if (to < from)
    throw AxisError({.op = "flatten",
                     .got = "start_axis " + std::to_string(from) + " behind end_axis " + std::to_string(to),
                     .accepts = "start_axis <= end_axis",
                     .where = here()});
  Shape shape;
  for (int i = 0; i < a.rank(); ++i) {
    if (i > from && i <= to) {
      shape.back() *= a.shape()[i];
    } else {
      shape.push_back(a.shape()[i]);
    }
  }
  return reshape(a, shape);
}

Array unflatten(const Array& a, int axis, const Shape& shape) {
  const int at = checked_axis("unflatten", axis, a.rank());
  const auto reject = [&] {
    return ShapeError({.op = "unflatten",
                       .got = "extent " + std::to_string(a.shape()[at].value()) + " as " + to_string(shape),
                       .accepts = "extents whose product it is; one may be -1",
                       .where = here()});
  };
  if (shape.empty()) throw reject();
  Dim known = 1;
  int open = -1;
  for (int i = 0; i < shape.rank(); ++i) {
    if (shape[i].expr() == 0 && shape[i].value() == -1) {
      if (open >= 0) throw reject();
      open = i;
    } else {
      known *= shape[i];
    }
  }
  Shape parts = shape;
  if (open >= 0) {
    if (!(known > 0)) throw reject();
    parts[open] = a.shape()[at] / known;
    known *= parts[open];
  }
  if (!(known == a.shape()[at])) throw reject();
  Shape out;
  for (int i = 0; i < a.rank(); ++i) {
    if (i != at) {
      out.push_back(a.shape()[i]);
    } else {
      for (const Dim& d : parts) out.push_back(d);
    }
  }
  return reshape(a, out);
}

void register_flatten(OpRegistry& ops) {
  ops.function("flatten")
      .signature("(a: array, /, start_axis: int = 0, end_axis: int = -1, *, stream: StreamOrDevice = None) -> array")
      .method("(start_axis: int = 0, end_axis: int = -1, *, stream: StreamOrDevice = None) -> array")
      .summary("Neighbouring axes merged into one.")
      .details("Merges start_axis to end_axis, both included; a 0-d array gets one axis. Errors: ValueError.")
      .oracle("a.reshape(a.shape[:start_axis] + (-1,) + (a.shape[end_axis:][1:] if end_axis != -1 else ()))")
      .sample("(2, 3, 4)", "start_axis=0, end_axis=-1")
      .sample("(2, 3, 4)", "start_axis=1, end_axis=-1")
      .sample("(2, 3, 4)", "start_axis=0, end_axis=1")
      .sample("()", "start_axis=0, end_axis=-1")
      .rejects("(3, 4)", "start_axis=1, end_axis=0", "ValueError");
  ops.function("unflatten")
      .signature("(a: array, /, axis: int, shape: Sequence[int], *, stream: StreamOrDevice = None) -> array")
      .summary("One axis cut into several.")
      .details("shape: extents whose product is the axis's; one may be -1. Errors: ValueError.")
      .oracle("a.reshape(a.shape[:axis] + tuple(shape) + a.shape[axis + 1:])")
      .sample("(6, 2)", "axis=0, shape=(2, 3)")
      .sample("(2, 6)", "axis=1, shape=(3, -1)")
      .rejects("(6,)", "axis=0, shape=(4, 2)", "ValueError")
      .rejects("(6,)", "axis=0, shape=()", "ValueError");
}

}  // namespace plait
