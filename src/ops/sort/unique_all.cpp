#include "ops/create/iota.h"
#include "ops/index/scatter.h"
#include "ops/prelude.h"
#include "ops/view/slice.h"
#include "plait/more_ops.h"

namespace plait {
namespace {

Array flattened(const Array& a) { return reshape(a, {a.shape().count()}); }

// Of positions among the elements of `a`.
DType index_dtype(const Array& a) { return Dim(INT32_MAX) < a.shape().count() ? DType::int64 : DType::int32; }

// Where each new value of a sorted vector begins. A NaN is equal to nothing, so each is a value of its own.
Array starts_of_values(const Array& sorted) {
  const Dim n = sorted.shape()[0];
  const Array differs = not_equal(slice_axis(sorted, 0, 1, n - 1), slice_axis(sorted, 0, 0, n - 1));
  return nonzero(concatenate({ones({1}, DType::bool_), differs}, 0))[0];
}

}  // namespace

Array unique_values(const Array& a) {
  if (a.shape().count() == 0) return flattened(a);
  const Array sorted = sort(flattened(a), 0);
  return take(sorted, starts_of_values(sorted), 0);
}

Arrays unique_all(const Array& a) {
  const DType index = index_dtype(a);
  const Dim n = a.shape().count();
  if (n == 0) return {flattened(a), zeros({0}, index), zeros(a.shape(), index), zeros({0}, index)};
  const Array flat = flattened(a), order = argsort(flat, 0);  // of equal elements the first comes first
  const Array sorted = take(flat, order, 0);
  const Array starts = starts_of_values(sorted);
  const Dim count = starts.shape()[0];
  const Array ends = concatenate({slice_axis(starts, 0, 1, count - 1), full({1}, Array(Scalar(n.value())), index)}, 0);
  // The value that each element is: at every start one more.
  const Array begins = scatter_rows(zeros({n}, index), starts, ones({count}, index), ScatterMode::set);
  const Array rank = subtract(cumsum(begins, 0), Array(Scalar(1), index));
  const Array inverse = scatter_rows(zeros({n}, index), order, rank, ScatterMode::set);
  return {take(sorted, starts, 0), converted(take(order, starts, 0), index), reshape(inverse, a.shape()),
          subtract(ends, starts)};
}

Array isin(const Array& a, const Array& b, bool invert) {
  const DType common = promote(a.dtype(), b.dtype());
  const Dim n = b.shape().count();
  if (n == 0) return full(a.shape(), Array(Scalar(invert)), DType::bool_);
  const Array x = converted(a, common), sorted = sort(flattened(converted(b, common)), 0);
  const Array last = extent(n - 1, DType::uint32);
  const Array found = take(sorted, minimum(searchsorted(sorted, x), last), 0);
  return invert ? not_equal(found, x) : equal(found, x);
}

void register_unique_all(OpRegistry& ops) {
  ops.function("isin")
      .signature(
          "(a: scalar | array, b: scalar | array, /, *, invert: bool = False, stream: StreamOrDevice = None) -> array")
      .summary("Whether each element of a is one of those of b; with invert, whether it is none.")
      .details(
          "Shape: that of a; b has any. Dtype: bool; those of the arguments are promoted to one. NaN is never one of them. Errors: ValueError for what is no array or number.")
      .oracle("np.isin(a, b, invert=invert)")
      .not_differentiable("the result is bool")
      .sample("[[1.0, 2.0, 3.0], [4.0, nan, 0.0]], [3.0, nan, 1.0, 5.0]")
      .sample("[[1.0, 2.0], [4.0, 0.0]], [3.0, 1.0]", "invert=True")
      .sample("[1, 2, 3], [[2], [4]]")
      .sample("(2,), (0,)")
      .sample("(0,), (2,)");
}

}  // namespace plait
