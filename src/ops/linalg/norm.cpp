#include <cmath>

#include "ops/matrices.h"
#include "ops/prelude.h"
#include "plait/linalg.h"

namespace plait {
namespace {

constexpr const char* kOp = "linalg.norm";

// The sum of squares of |x|.
Array squares(const Array& x, const std::vector<int>& axes) {
  if (x.dtype() == DType::complex64) return sum(add(square(real(x)), square(imag(x))), axes, true);
  return sum(square(x), axes, true);
}

// |x| along no axis; a root of a square would have no derivative at 0.
Array length(const Array& x, const std::vector<int>& axes) { return axes.empty() ? abs(x) : sqrt(squares(x, axes)); }

std::string text_of(double order) {
  std::string text = std::to_string(order);
  text.erase(text.find_last_not_of('0') + 1);
  return text.ends_with('.') ? text.substr(0, text.size() - 1) : text;
}

[[noreturn]] void reject(const std::string& order, const char* accepts, const Array& x) {
  throw ArgumentError({.op = kOp,
                       .got = "ord " + order + " for an array of shape " + to_string(x.shape()),
                       .accepts = accepts,
                       .where = here()});
}

Array of_vectors(const Array& x, double order, const std::vector<int>& axis) {
  const Array size = abs(x);
  if (std::isinf(order)) return order > 0 ? max(size, axis, true) : min(size, axis, true);
  if (order == 0) return sum(converted(not_equal(x, zeros_like(x)), size.dtype()), axis, true);
  if (order == 1) return sum(size, axis, true);
  if (order == 2) return length(x, axis);
  const Array power_of(Scalar(order), size.dtype()), root(Scalar(1 / order), size.dtype());
  return power(sum(power(size, power_of), axis, true), root);
}

// With both axes kept as 1.
Array singular_values(const Array& x, const std::vector<int>& axes) {
  linalg::check_dtype(kOp, x.dtype(), linalg::kRealOrComplex);
  return linalg::svd(moveaxis(moveaxis(x, axes[0], -1), axes[1] > axes[0] ? axes[1] - 1 : axes[1], -1), false)[0];
}

Array back_in_place(const Array& value, const std::vector<int>& axes) { return expand_dims(value, Axes(axes)); }

Array of_matrices(const Array& x, double order, const std::vector<int>& axes) {
  const std::vector<int> rows{axes[0]}, columns{axes[1]};
  const double size = std::abs(order);
  if (size == 1 || std::isinf(order)) {
    const Array sums = sum(abs(x), size == 1 ? rows : columns, true);
    return order > 0 ? max(sums, size == 1 ? columns : rows, true) : min(sums, size == 1 ? columns : rows, true);
  }
  if (size == 2) {
    const Array s = singular_values(x, axes);
    return back_in_place(order > 0 ? max(s, Axes{-1}, false) : min(s, Axes{-1}, false), axes);
  }
  reject(text_of(order), "1, -1, 2, -2, inf, -inf, 'fro', 'nuc' or None for matrices", x);
}

Array named(const Array& x, std::string_view order, const std::vector<int>& axes) {
  const std::string quoted = "'" + std::string(order) + "'";
  if (order != "fro" && order != "f" && order != "nuc") reject(quoted, "'fro', 'nuc', a number or None", x);
  if (axes.size() != 2) reject(quoted, "a number or None along one axis; names are of norms of matrices", x);
  if (order != "nuc") return length(x, axes);
  return back_in_place(sum(singular_values(x, axes), Axes{-1}, false), axes);
}

/// The axes in the order given: the first of two has the rows.
std::vector<int> axes_of(const Axes& axis, bool has_order, const Array& x) {
  std::vector<int> axes;
  if (!axis) {
    for (int i = 0; i < x.rank(); ++i) axes.push_back(i);
    if (has_order && axes.size() != 1 && axes.size() != 2)
      throw ShapeError({.op = kOp,
                        .got = "an array of shape " + to_string(x.shape()) + " with an order and no axis",
                        .accepts = "a vector or a matrix, or one or two axes",
                        .where = here()});
    return axes;
  }
  checked_axes(kOp, axis, x.rank());  // none twice
  for (int i : *axis) axes.push_back(checked_axis(kOp, i, x.rank()));
  if (axes.size() > 2)
    throw ArgumentError(
        {.op = kOp, .got = std::to_string(axes.size()) + " axes", .accepts = "one or two axes", .where = here()});
  return axes;
}

}  // namespace

namespace linalg {

Array norm(const Array& a, const NormOrder& order, const Axes& axis, bool keepdims) {
  const Array x = converted(a, at_least_float(a.dtype()));
  const bool none = std::holds_alternative<std::monostate>(order);
  const std::vector<int> axes = axes_of(axis, !none, x);
  Array kept;
  if (none || (axes.empty() && std::holds_alternative<double>(order))) {
    kept = length(x, axes);
  } else if (const auto* const number = std::get_if<double>(&order)) {
    kept = axes.size() == 1 ? of_vectors(x, *number, axes) : of_matrices(x, *number, axes);
  } else {
    kept = named(x, std::get<std::string_view>(order), axes);
  }
  return keepdims || axes.empty() ? kept : squeeze(kept, Axes(axes));
}

Array vector_norm(const Array& a, const Axes& axis, bool keepdims, const Scalar& order) {
  const Array x = converted(a, at_least_float(a.dtype()));
  const std::vector<int> axes = checked_axes("linalg.vector_norm", axis, x.rank());
  const Array kept = of_vectors(x, order.re, axes);
  return keepdims || axes.empty() ? kept : squeeze(kept, Axes(axes));
}

Array matrix_norm(const Array& a, const NormOrder& order, bool keepdims) {
  check_matrices("linalg.matrix_norm", a, dtypes::any);
  return norm(a, std::holds_alternative<std::monostate>(order) ? NormOrder(std::string_view("fro")) : order,
              Axes{-2, -1}, keepdims);
}

}  // namespace linalg

void register_norm(OpRegistry& ops) {
  ops.function("norm")
      .module("core.linalg")
      .signature(
          "(a: array, /, ord: None | int | float | str = None, axis: None | int | list[int] = None, keepdims: bool = False, *, "
          "stream: StreamOrDevice = None) -> array")
      .summary("Norms of vectors along one axis, or of matrices along two.")
      .details(
          "Without axis: of all elements, and with an ord of a vector or a matrix. Vectors: sum(|a|**ord)**(1/ord), the largest or smallest "
          "element for inf and -inf, the number of those that are not 0 for 0. Matrices: the largest or smallest sum of a column (1, -1) or row "
          "(inf, -inf), the largest or smallest singular value (2, -2), their sum ('nuc'), the 2-norm of the elements ('fro'). Dtype: real; float32 for "
          "integers and bool. Errors: ArgumentError for another ord, ShapeError, AxisError.")
      .oracle("np.linalg.norm(np.asarray(a), ord, tuple(axis) if isinstance(axis, list) else axis, keepdims)")
      .domain("(0.5, 2)")
      .sample("(3,)", "ord=None, axis=None")
      .sample("(2, 3, 2)", "ord=None, axis=None, keepdims=True")
      .sample("(2, 3)", "ord=3, axis=1")
      .sample("(2, 3)", "ord=1, axis=-1, keepdims=True")
      .sample("(2, 3)", "ord=float('inf'), axis=0")
      .sample("(3,)", "ord=-float('inf'), axis=None")
      .sample("(3,)", "ord=-1.5, axis=None")
      .sample("(2, 3)", "ord=0, axis=1")
      .sample("(2, 3)", "ord='fro', axis=None")
      .sample("(2, 3, 4)", "ord=1, axis=[0, 2]")
      .sample("(2, 3, 4)", "ord=-1, axis=[2, 0], keepdims=True")
      .sample("(3, 2)", "ord=float('inf'), axis=None")
      .sample("(3, 2)", "ord=-float('inf'), axis=None")
      .sample("[[[1.0, 2.0], [3.0, 0.5], [0.5, 2.5]]]", "ord=2, axis=[1, 2]")
      .sample("[[[1.0, 2.0], [3.0, 0.5], [0.5, 2.5]]]", "ord=-2, axis=[2, 1], keepdims=True")
      .sample("[[[1.0, 2.0], [3.0, 0.5]], [[2.0, 1.0], [0.5, 2.5]]]", "ord='nuc', axis=[-2, -1]")
      .rejects("(2, 2)", "ord='zzz'", "ArgumentError")
      .rejects("(2, 2)", "ord=2.5", "ArgumentError")
      .rejects("(2,)", "ord='fro'", "ArgumentError")
      .rejects("(2, 2, 2)", "ord=2", "ShapeError")
      .rejects("()", "ord=2", "ShapeError")
      .rejects("(2, 2, 2)", "axis=[0, 1, 2]", "ArgumentError")
      .rejects("(2, 2)", "axis=[0, 0]", "ArgumentError")
      .rejects("(2,)", "axis=3", "AxisError");
  ops.function("vector_norm")
      .module("core.linalg")
      .signature(
          "(x: array, /, *, axis: None | int | Sequence[int] = None, keepdims: bool = False, ord: int | float = 2, stream: "
          "StreamOrDevice = None) -> array")
      .summary(
          "Norms of vectors whose elements lie along one axis or several, or of all elements: sum(|x|**ord)**(1/ord).")
      .details(
          "ord: inf and -inf are the largest and the smallest |x|, 0 is the number of elements that are not 0. Dtype: real; float32 for integers "
          "and bool. Errors: AxisError; ValueError for inf and -inf of no elements.")
      .oracle("np.linalg.vector_norm(np.asarray(x), axis=axis, keepdims=keepdims, ord=ord)")
      .domain("(0.5, 2)")
      .sample("(2, 3)", "axis=None")
      .sample("(2, 3, 2)", "axis=(0, 2), keepdims=True")
      .sample("(2, 3)", "axis=-1, ord=3")
      .sample("(2, 3)", "axis=0, ord=1")
      .sample("(2, 3)", "axis=None, keepdims=True, ord=float('inf')")
      .sample("(2, 3)", "axis=1, ord=-float('inf')")
      .sample("(2, 3, 2)", "axis=(1, 2), ord=-1.5")
      .sample("(2, 3)", "axis=1, ord=0")
      .sample("()", "axis=None")
      .rejects("(2, 3)", "axis=2", "AxisError")
      .rejects("(2, 3)", "axis=(0, 0)", "ArgumentError")
      .rejects("(0,)", "ord=float('inf')", "ValueError");
  ops.function("matrix_norm")
      .module("core.linalg")
      .signature(
          "(x: array, /, *, keepdims: bool = False, ord: None | int | float | str = 'fro', stream: StreamOrDevice = None) -> array")
      .summary("Norms of the matrices in the last two axes.")
      .details(
          "Shapes: (..., m, n) -> (...). ord as linalg.norm has it for matrices. plait.core.matrix_norm is linalg.norm. Dtype: real; float32 for "
          "integers and bool. Errors: ArgumentError for another ord, ShapeError for fewer than two axes.")
      .oracle("np.linalg.matrix_norm(np.asarray(x), keepdims=keepdims, ord=ord)")
      .domain("(0.5, 2)")
      .sample("(2, 3)", "ord='fro'")
      .sample("(2, 3, 4)", "keepdims=True, ord=1")
      .sample("(2, 3, 4)", "ord=-float('inf')")
      .sample("[[[1.0, 2.0], [3.0, 0.5], [0.5, 2.5]]]", "ord=2")
      .sample("[[[1.0, 2.0], [3.0, 0.5]], [[2.0, 1.0], [0.5, 2.5]]]", "keepdims=True, ord='nuc'")
      .rejects("(3,)", "", "ShapeError")
      .rejects("(2, 2)", "ord=3", "ArgumentError")
      .rejects("(2, 2)", "ord='zzz'", "ArgumentError");
  ops.function("matrix_norm")
      .signature(
          "(a: array, /, ord: None | int | float | str = None, axis: None | int | list[int] = None, keepdims: bool = False, *, "
          "stream: StreamOrDevice = None) -> array")
      .summary("linalg.norm under the name that the interface gives it here.")
      .details(
          "Without axis all axes count, not the last two alone. Further as linalg.norm. Errors: ArgumentError, ShapeError, AxisError.")
      .oracle("np.linalg.norm(np.asarray(a), ord, tuple(axis) if isinstance(axis, list) else axis, keepdims)")
      .domain("(0.5, 2)")
      .sample("(2, 3)", "ord=None, axis=None")
      .sample("(2, 3, 2)", "ord='fro', axis=[1, 2]")
      .sample("(3, 2)", "ord=1, axis=None, keepdims=True")
      .rejects("(2, 2)", "ord='zzz'", "ArgumentError")
      .rejects("(2, 2, 2)", "ord='fro'", "ShapeError");
}

}  // namespace plait
