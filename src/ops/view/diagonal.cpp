#include "ops/prelude.h"
#include "ops/view/slice.h"

namespace plait {
namespace {

// The elements of a k-th diagonal of (n, m), in a matrix whose rows lie behind each other.
struct Line {
  Dim start, size, step;
};

Line line_of(Dim n, Dim m, int64_t k) {
  Line line{k >= 0 ? Dim(k) : Dim(-k) * m, 0, m + 1};
  const Dim rows = k >= 0 ? n : n + k, columns = k >= 0 ? m - k : m;
  line.size = rows < columns ? rows : columns;
  if (line.size < 0) line.size = 0;
  return line;
}

}  // namespace

Array diagonal(const Array& a, int64_t offset, int axis1, int axis2) {
  if (a.rank() < 2)
    throw ShapeError({.op = "diagonal",
                      .got = "an array of shape " + to_string(a.shape()),
                      .accepts = "at least two axes",
                      .where = here()});
  const int first = checked_axis("diagonal", axis1, a.rank()), second = checked_axis("diagonal", axis2, a.rank());
  if (first == second)
    throw AxisError({.op = "diagonal",
                     .got = "axis " + std::to_string(first) + " twice",
                     .accepts = "two different axes",
                     .where = here()});
  std::vector<int> order;
  for (int i = 0; i < a.rank(); ++i)
    if (i != first && i != second) order.push_back(i);
  order.push_back(first);
  order.push_back(second);
  const Array x = transpose(a, order);
  const Line line = line_of(x.dim(-2), x.dim(-1), offset);
  return slice_axis(flatten(x, -2, -1), x.rank() - 2, line.start, line.size, line.step);
}

Array diag(const Array& a, int64_t k) {
  if (a.rank() == 2) return diagonal(a, k, 0, 1);
  if (a.rank() != 1)
    throw ShapeError({.op = "diag",
                      .got = "an array of shape " + to_string(a.shape()),
                      .accepts = "a vector or a matrix",
                      .where = here()});
  const Dim n = a.shape()[0] + (k < 0 ? -k : k);
  const Line line = line_of(n, n, k);
  return reshape(slice_update_static(zeros({n * n}, a.dtype()), a, {{line.start}, {line.size}, {line.step}}), {n, n});
}

Array trace(const Array& a, int64_t offset, int axis1, int axis2, std::optional<DType> dtype) {
  const Array d = diagonal(a, offset, axis1, axis2);
  return sum(dtype ? converted(d, *dtype) : d, -1, false);
}

namespace linalg {

Array diagonal(const Array& a, int64_t offset) { return plait::diagonal(a, offset, -2, -1); }

Array trace(const Array& a, int64_t offset, std::optional<DType> dtype) {
  return plait::trace(a, offset, -2, -1, dtype);
}

}  // namespace linalg

void register_diagonal(OpRegistry& ops) {
  ops.function("diagonal")
      .signature("(a: array, offset: int = 0, axis1: int = 0, axis2: int = 1, stream: StreamOrDevice = None) -> array")
      .method("(offset: int = 0, axis1: int = 0, axis2: int = 1, stream: StreamOrDevice = None) -> array")
      .summary("The elements at (i, i + offset) of two axes, as a new last axis.")
      .details("Errors: ValueError for fewer than two axes or one axis named twice.")
      .oracle("np.diagonal(a, offset, axis1, axis2)")
      .sample("(3, 4)", "offset=0, axis1=0, axis2=1")
      .sample("(2, 3, 4)", "offset=1, axis1=1, axis2=2")
      .sample("(2, 3, 4)", "offset=-1, axis1=2, axis2=0")
      .sample("(3, 3)", "offset=5, axis1=0, axis2=1")
      .rejects("(3,)", "", "ValueError");
  ops.function("diag")
      .signature("(a: array, /, k: int = 0, *, stream: StreamOrDevice = None) -> array")
      .method("(k: int = 0, *, stream: StreamOrDevice = None) -> array")
      .summary("The k-th diagonal of a matrix, or a matrix of zeros with a vector on it.")
      .details("Errors: ValueError for other than one or two axes.")
      .oracle("np.diag(a, k)")
      .sample("(3, 4)", "k=1")
      .sample("(3,)", "k=0")
      .sample("(2,)", "k=-1")
      .sample("(0,)", "k=1")
      .rejects("()", "k=0", "ValueError");
  ops.function("trace")
      .signature(
          "(a: array, /, offset: int = 0, axis1: int = 0, axis2: int = 1, dtype: Dtype | None = None, *, stream: StreamOrDevice = None) -> array")
      .summary("Sum along a diagonal of two axes.")
      .details("dtype: converts before summing. Errors: ValueError for fewer than two axes.")
      .oracle("np.trace(a, offset, axis1, axis2)")
      .sample("(3, 4)", "offset=0, axis1=0, axis2=1")
      .sample("(2, 3, 4)", "offset=1, axis1=1, axis2=2")
      .rejects("(3,)", "", "ValueError");
  ops.function("diagonal")
      .module("core.linalg")
      .signature("(x: array, /, *, offset: int = 0, stream: StreamOrDevice = None) -> array")
      .summary("Diagonals of the matrices in the last two axes.")
      .details(
          "Shapes: (..., m, n) -> (..., k). plait.core.diagonal takes the first two axes. Errors: ValueError for fewer than two axes.")
      .oracle("np.linalg.diagonal(x, offset=offset)")
      .sample("(3, 4)", "offset=0")
      .sample("(2, 3, 4)", "offset=-1")
      .rejects("(3,)", "", "ValueError");
  ops.function("trace")
      .module("core.linalg")
      .signature(
          "(x: array, /, *, offset: int = 0, dtype: Dtype | None = None, stream: StreamOrDevice = None) -> array")
      .summary("Sums along diagonals of the matrices in the last two axes.")
      .details(
          "Shapes: (..., m, n) -> (...). plait.core.trace takes the first two axes. dtype: converts before summing. Errors: ValueError for "
          "fewer than two axes.")
      .oracle("np.linalg.trace(x, offset=offset)")
      .sample("(3, 4)", "offset=0")
      .sample("(2, 3, 4)", "offset=1")
      .rejects("(3,)", "", "ValueError");
}

}  // namespace plait
