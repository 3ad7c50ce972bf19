#include "ops/prelude.h"

#include "graph/source.h"

namespace plait {

std::string here() { return describe_source(current_source()); }

int checked_axis(std::string_view op, int axis, int rank) {
  if (axis < -rank || axis >= rank) {
    throw AxisError(
        {.op = std::string(op),
         .got = "axis " + std::to_string(axis) + " does not exist in an array with " + std::to_string(rank) + " axes",
         .accepts = rank == 0 ? "no axis: the array is 0-d" : std::to_string(-rank) + " to " + std::to_string(rank - 1),
         .where = here()});
  }
  return axis < 0 ? axis + rank : axis;
}

std::vector<int> checked_axes(std::string_view op, const Axes& axes, int rank) {
  std::vector<int> out;
  if (!axes) {
    for (int i = 0; i < rank; ++i) out.push_back(i);
    return out;
  }
  for (int axis : *axes) out.push_back(checked_axis(op, axis, rank));
  std::sort(out.begin(), out.end());
  if (std::adjacent_find(out.begin(), out.end()) != out.end())
    throw ArgumentError(
        {.op = std::string(op), .got = "an axis is named twice", .accepts = "each axis once", .where = here()});
  return out;
}

Array moved_to_front(const Array& a, int from) {
  if (from == 0) return a;
  TransposeAttrs attrs;
  attrs.axes.push_back(from);
  for (int i = 0; i < a.rank(); ++i)
    if (i != from) attrs.axes.push_back(i);
  static const OpHandle op("transpose");
  return op(attrs, {a});
}

}  // namespace plait
