#include "ops/prelude.h"

namespace plait {
namespace {

std::vector<int> all_axes(int rank) {
  std::vector<int> axes;
  for (int i = 0; i < rank; ++i) axes.push_back(i);
  return axes;
}

}  // namespace

Array moveaxis(const Array& a, int source, int destination) {
  const int from = checked_axis("moveaxis", source, a.rank());
  const int to = checked_axis("moveaxis", destination, a.rank());
  std::vector<int> axes = all_axes(a.rank());
  axes.erase(axes.begin() + from);
  axes.insert(axes.begin() + to, from);
  return transpose(a, axes);
}

Array swapaxes(const Array& a, int axis1, int axis2) {
  std::vector<int> axes = all_axes(a.rank());
  std::swap(axes[checked_axis("swapaxes", axis1, a.rank())], axes[checked_axis("swapaxes", axis2, a.rank())]);
  return transpose(a, axes);
}

Array matrix_transpose(const Array& a) {
  if (a.rank() < 2)
    throw ShapeError({.op = "matrix_transpose",
                      .got = "an array of shape " + to_string(a.shape()),
                      .accepts = "at least two axes",
                      .where = here()});
  return swapaxes(a, -1, -2);
}

void register_moveaxis(OpRegistry& ops) {
  ops.function("moveaxis")
      .signature("(a: array, /, source: int, destination: int, *, stream: StreamOrDevice = None) -> array")
      .method("(source: int, destination: int, *, stream: StreamOrDevice = None) -> array")
      .summary("One axis moved to another position.")
      .details(
          "Negative axes count from the end. Dtype: that of a. Errors: ValueError for an axis that does not exist.")
      .oracle("np.moveaxis(a, source, destination)")
      .sample("(2, 3, 4)", "source=0, destination=-1")
      .sample("(2, 3, 4)", "source=2, destination=0")
      .rejects("(2, 3)", "source=2, destination=0", "ValueError");
  ops.function("swapaxes")
      .signature("(a: array, /, axis1: int, axis2: int, *, stream: StreamOrDevice = None) -> array")
      .method("(axis1: int, axis2: int, *, stream: StreamOrDevice = None) -> array")
      .summary("Two axes exchanged.")
      .details(
          "Negative axes count from the end. Dtype: that of a. Errors: ValueError for an axis that does not exist.")
      .oracle("np.swapaxes(a, axis1, axis2)")
      .sample("(2, 3, 4)", "axis1=0, axis2=-1")
      .rejects("(2, 3)", "axis1=0, axis2=2", "ValueError");
  const std::string in_linalg = "linalg.matrix_transpose";  // a literal here makes g++ 12 warn of its own string
  ops.function("matrix_transpose")
      .alias(in_linalg)
      .signature("(a: array, /, *, stream: StreamOrDevice = None) -> array")
      .summary("The last two axes exchanged.")
      .details("Errors: ValueError for fewer than two axes.")
      .oracle("np.swapaxes(a, -1, -2)")
      .sample("(2, 3, 4)")
      .rejects("(2,)", "", "ValueError");
}

}  // namespace plait
