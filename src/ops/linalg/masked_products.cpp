#include "ops/create/iota.h"
#include "ops/prelude.h"
#include "ops/view/slice.h"

namespace plait {
namespace {

void check_matrices(const char* op, const Array& a, const Array& b) {
  if (a.rank() < 2 || b.rank() < 2 || !(a.dim(-1) == b.dim(-2)))
    throw ShapeError({.op = op,
                      .got = "shapes " + to_string(a.shape()) + " and " + to_string(b.shape()),
                      .accepts = "(..., m, k) and (..., k, n)",
                      .where = here()});
}

// x where the mask of its blocks holds; a mask that is no bool scales the blocks.
Array masked(const Array& x, const std::optional<Array>& mask, int64_t block) {
  if (!mask) return x;
  Array whole = *mask;
  for (const int axis : {-2, -1}) {
    whole = repeat(whole, block, axis);
    if (whole.dim(axis) < x.dim(axis))
      throw ShapeError({.op = "block_masked_mm",
                        .got = "a mask of shape " + to_string(mask->shape()) + " for blocks of " +
                               std::to_string(block) + " in shape " + to_string(x.shape()),
                        .accepts = "one element for each block",
                        .where = here()});
    whole = slice_axis(whole, whole.rank() + axis, 0, x.dim(axis));
  }
  return whole.dtype() == DType::bool_ ? where(whole, x, zeros_like(x)) : multiply(x, converted(whole, x.dtype()));
}

// Matrices (..., n, m) picked by position in the flattened axes before the last two.
Array picked(const Array& x, const std::optional<Array>& indices) {
  if (!indices) return x;
  return take(x.rank() == 2 ? expand_dims(x, 0) : flatten(x, 0, -3), *indices, 0);
}

}  // namespace

Array block_masked_mm(const Array& a, const Array& b, int64_t block_size, const std::optional<Array>& mask_out,
                      const std::optional<Array>& mask_lhs, const std::optional<Array>& mask_rhs) {
  check_matrices("block_masked_mm", a, b);
  if (block_size < 1)
    throw ArgumentError({.op = "block_masked_mm",
                         .got = "blocks of " + std::to_string(block_size),
                         .accepts = "1 and more",
                         .where = here()});
  return masked(matmul(masked(a, mask_lhs, block_size), masked(b, mask_rhs, block_size)), mask_out, block_size);
}

Array gather_mm(const Array& a, const Array& b, const std::optional<Array>& lhs_indices,
                const std::optional<Array>& rhs_indices, bool) {
  check_matrices("gather_mm", a, b);
  return matmul(picked(a, lhs_indices), picked(b, rhs_indices));
}

Array segmented_mm(const Array& a, const Array& b, const Array& segments) {
  check_matrices("segmented_mm", a, b);
  if (a.rank() != 2 || b.rank() != 2 || segments.rank() < 1 || !(segments.dim(-1) == 2))
    throw ShapeError({.op = "segmented_mm",
                      .got = "shapes " + to_string(a.shape()) + ", " + to_string(b.shape()) + " and segments " +
                             to_string(segments.shape()),
                      .accepts = "two matrices and segments (..., 2)",
                      .where = here()});
  // Outside of its segment a factor is zero.
  const Array position = iota(a.dim(-1), DType::int64);
  const Array bounds = converted(segments, DType::int64);
  const auto bound = [&](Dim i) { return slice_axis(bounds, bounds.rank() - 1, i, 1); };
  const Array inside = logical_and(less_equal(bound(0), position), less(position, bound(1)));
  return matmul(where(expand_dims(inside, -2), a, zeros_like(a)), b);
}

void register_masked_products(OpRegistry& ops) {
  ops.function("block_masked_mm")
      .signature(
          "(a: array, b: array, /, block_size: int = 64, mask_out: array | None = None, mask_lhs: array | None = None, mask_rhs: array | None = None, *, stream: StreamOrDevice = None) -> array")
      .summary("Matrix product in which blocks of the operands and of the result are masked.")
      .details(
          "Masks have one element for each block of block_size rows and columns: a bool keeps it or makes it zero, a number scales it. Errors: ValueError.")
      .oracle("oracle.block_masked_mm(a, b, block_size, mask_out, mask_lhs, mask_rhs)")
      .sample("(4, 4), (4, 4)", "block_size=2")
      .sample(
          "(4, 5), (5, 3), [[True, False], [True, True]], [[True, False, True], [False, True, True]], [[True, False], [True, True], [False, True]]",
          "block_size=2")
      .rejects("(4, 4), (3, 4)", "block_size=2", "ValueError");
  ops.function("gather_mm")
      .signature(
          "(a: array, b: array, /, lhs_indices: array | None = None, rhs_indices: array | None = None, *, sorted_indices: bool = False, stream: StreamOrDevice = None) -> array")
      .summary("Matrix products of picked matrices.")
      .details(
          "lhs_indices, rhs_indices: positions in the flattened leading axes of a and b; they broadcast. sorted_indices is a hint. Errors: ValueError; IndexError while evaluating.")
      .oracle("np.matmul(a[lhs_indices], b[rhs_indices])")
      .sample("(2, 3, 4), (5, 4, 2), [0, 1], [4, 0]")
      .rejects("(2, 3), (2, 3)", "", "ValueError");
  ops.function("segmented_mm")
      .signature("(a: array, b: array, /, segments: array, *, stream: StreamOrDevice = None) -> array")
      .summary("For each segment the product of the columns of a and the rows of b that lie in it.")
      .details(
          "Shapes: a (m, k), b (k, n), segments (..., 2), the first position and the one behind the last -> (..., m, n). Errors: ValueError.")
      .oracle("np.stack([a[:, i:j] @ b[i:j] for i, j in segments])")
      .sample("(2, 10), (10, 3), [[0, 4], [4, 10]]")
      .rejects("(2, 10), (9, 3), [[0, 4]]", "", "ValueError");
}

}  // namespace plait
