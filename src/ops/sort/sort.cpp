#include "ops/create/iota.h"
#include "ops/prelude.h"
#include "plait/more_ops.h"

namespace plait {
namespace {

// Both primitives work along the last axis.
Avals infer_sort(const NoAttrs&, std::span<const Aval> in) { return {in[0]}; }
Avals infer_argsort(const NoAttrs&, std::span<const Aval> in) { return {{in[0].shape, DType::uint32}}; }

Array sort_last(const Array& a) {
  static const OpHandle op("sort");
  return op({a});
}
Array argsort_last(const Array& a) {
  static const OpHandle op("argsort");
  return op({a});
}

Grads vjp_sort(const NoAttrs&, const VjpArgs& at) {
  return {
      put_along_axis(zeros(at.input_shape(0), at.cotangent().dtype()), argsort_last(at.input(0)), at.cotangent(), -1)};
}
Arrays jvp_sort(const NoAttrs&, const JvpArgs& at) {
  return {take_along_axis(at.tangent(0), argsort_last(at.input(0)), -1)};
}
VmapResult vmap_sort(const NoAttrs&, const VmapArgs& at) { return {{sort_last(batch_first(at, 0))}, {0}}; }
VmapResult vmap_argsort(const NoAttrs&, const VmapArgs& at) { return {{argsort_last(batch_first(at, 0))}, {0}}; }

Array along(const char* op, const Array& a, std::optional<int> axis, Array (*last)(const Array&)) {
  if (!axis) return last(reshape(a, {a.shape().count()}));
  const int at = checked_axis(op, *axis, a.rank());
  return at == a.rank() - 1 ? last(a) : swapaxes(last(swapaxes(a, at, -1)), at, -1);
}

void check_kth(const char* op, const Array& a, int64_t kth, std::optional<int> axis) {
  const Dim n = axis ? a.shape()[checked_axis(op, *axis, a.rank())] : a.shape().count();
  if (n > kth && Dim(0) <= n + kth) return;
  throw ArgumentError({.op = op,
                       .got = "kth " + std::to_string(kth) + " for " + std::to_string(n.value()) + " elements",
                       .accepts = "a position among the elements; negative counts from the end",
                       .where = here()});
}

}  // namespace

Array sort(const Array& a, std::optional<int> axis) { return along("sort", a, axis, sort_last); }

Array argsort(const Array& a, std::optional<int> axis) { return along("argsort", a, axis, argsort_last); }

Array sort(const Array& a, std::optional<int> axis, bool descending) {
  const Array up = sort(a, axis);
  return descending ? flip(up, axis.value_or(0)) : up;
}

// Equal elements stay in order both ways: what comes last in the reversed row came first in the row.
Array argsort(const Array& a, std::optional<int> axis, bool descending) {
  if (!descending) return argsort(a, axis);
  const Array x = axis ? a : reshape(a, {a.shape().count()});
  const int at = checked_axis("argsort", axis.value_or(0), x.rank());
  const Array back = flip(argsort(flip(x, at), at), at);
  return subtract(extent(x.shape()[at] - 1, back.dtype()), back);
}

// Sorting by digits takes no longer than selecting would, and promises more.
Array partition(const Array& a, int64_t kth, std::optional<int> axis) {
  check_kth("partition", a, kth, axis);
  return sort(a, axis);
}

Array argpartition(const Array& a, int64_t kth, std::optional<int> axis) {
  check_kth("argpartition", a, kth, axis);
  return argsort(a, axis);
}

void register_sort(OpRegistry& ops) {
  ops.opaque("sort")
      .summary("Elements of each row of the last axis from the smallest on; NaN comes last.")
      .input("a")
      .infer(infer_sort)
      .check(check_has_axis)
      .vjp(vjp_sort)
      .jvp(jvp_sort)
      .vmap(vmap_sort);
  ops.opaque("argsort")
      .summary("Where the elements of each sorted row of the last axis stood; equal ones stay in order.")
      .input("a")
      .infer(infer_argsort)
      .check(check_has_axis)
      .vmap(vmap_argsort)
      .not_differentiable("positions do not change smoothly");
  const std::string axis_and_dtype = "axis: one, or None for the flattened array. ";
  ops.function("sort")
      .signature("(a: array, /, axis: None | int = -1, *, stream: StreamOrDevice = None) -> array")
      .summary(
          "The elements along an axis from the smallest to the largest; NaN comes last, complex numbers go by real part first.")
      .details(axis_and_dtype + "Errors: ValueError and IndexError for an axis that does not exist.")
      .oracle("np.sort(a, axis)")
      .sample("(7,)", "axis=-1")
      .sample("(3, 5)", "axis=0")
      .sample("(2, 400)", "axis=1")
      .sample("(2, 3)", "axis=None")
      .sample("(0, 3)", "axis=0")
      .rejects("(3,)", "axis=1", "AxisError");
  ops.function("argsort")
      .signature("(a: array, /, axis: None | int = -1, *, stream: StreamOrDevice = None) -> array")
      .summary("Positions that would sort the elements along an axis; equal elements stay in order.")
      .details(axis_and_dtype + "Dtype: uint32. Errors: ValueError and IndexError for an axis that does not exist.")
      .oracle("np.argsort(a, axis, kind='stable')")
      .not_differentiable("positions do not change smoothly")
      .sample("(7,)", "axis=-1")
      .sample("(3, 5)", "axis=0")
      .sample("(2, 400)", "axis=1")
      .sample("(2, 3)", "axis=None")
      .rejects("(3,)", "axis=1", "AxisError");
  ops.function("partition")
      .signature("(a: array, /, kth: int, axis: None | int = -1, *, stream: StreamOrDevice = None) -> array")
      .summary(
          "The elements along an axis in an order in which the one at kth stands where sorting puts it, none larger before it and none smaller behind.")
      .details(axis_and_dtype +
               "They are sorted altogether. Errors: ValueError for a kth or an axis that does not exist.")
      .oracle("np.sort(a, axis)")
      .sample("(7,)", "kth=3")
      .sample("(3, 5)", "kth=-1, axis=0")
      .rejects("(3,)", "kth=5", "ValueError");
  ops.function("argpartition")
      .signature("(a: array, /, kth: int, axis: None | int = -1, *, stream: StreamOrDevice = None) -> array")
      .summary("Positions that would partition the elements along an axis.")
      .details(axis_and_dtype + "Dtype: uint32. Errors: ValueError for a kth or an axis that does not exist.")
      .oracle("np.argsort(a, axis, kind='stable')")
      .not_differentiable("positions do not change smoothly")
      .sample("(7,)", "kth=3")
      .sample("(3, 5)", "kth=-1, axis=0")
      .rejects("(3,)", "kth=5", "ValueError");
}

}  // namespace plait
