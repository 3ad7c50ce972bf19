#include "ops/create/iota.h"
#include "ops/matrices.h"
#include "ops/prelude.h"
#include "ops/view/slice.h"

namespace plait {
namespace {

using namespace linalg;

Dim smaller(Dim a, Dim b) { return a < b ? a : b; }

// Both factors in one array, the exchanges of rows, and the order that they bring the rows into.
Avals infer_lu(const NoAttrs&, std::span<const Aval> in) {
  const Shape& shape = in[0].shape;
  const int rank = shape.rank();
  Shape order = leading(shape, 1), pivots = leading(shape, 2);
  pivots.push_back(smaller(shape[rank - 2], shape[rank - 1]));
  return {in[0], {pivots, DType::uint32}, {order, DType::uint32}};
}

const char* check_lu(const NoAttrs&, std::span<const Aval> in) { return linalg::check_matrices(in[0]); }

Arrays factors(const Array& a) {
  static const OpHandle op("lu_factor");
  return make_all(*op, Ref<AttrsBase>(), {a});
}

Array rows_in_order(const Array& a, const Array& order) { return take_along_axis(a, expand_dims(order, -1), -2); }

// The factors of P A = L U as square matrices to solve with: the formulas of square matrices then hold. Where A has more rows than
// columns L has columns of the identity to the right, where it has fewer U has rows of it below.
struct Square {
  Array l, u;  // L below the diagonal, which is ones; U from the diagonal on
};
Square square_factors(const Array& lu) {
  const Dim m = lu.dim(-2), n = lu.dim(-1);
  const int rows = lu.rank() - 2, columns = lu.rank() - 1;
  if (m == n) return {lu, lu};
  if (n < m) {
    Shape right = leading(lu.shape(), 1);
    right.push_back(m - n);
    return {concatenate({lu, zeros(right, lu.dtype())}, columns), slice_axis(lu, rows, 0, n, 1)};
  }
  const Array at = add(iota(n - m, DType::int32), extent(m, DType::int32));
  const Array ones = converted(equal(expand_dims(at, 1), expand_dims(iota(n, DType::int32), 0)), lu.dtype());
  return {slice_axis(lu, columns, 0, m, 1), concatenate({lu, with_leading(ones, leading(lu.shape(), 2), 2)}, rows)};
}

// F = L^-1 P^T dA U^-1 splits into what moves L, below its diagonal, and what moves U.
Arrays jvp_lu(const NoAttrs&, const JvpArgs& at) {
  const auto [l, u] = square_factors(at.output(0));
  const Array moved = rows_in_order(at.tangent(0), at.output(2));
  const Array f = triangular_solve_right(u, triangular_solve(l, moved, {.unit = true}), {.upper = true});
  const Array of_l = tril(f, -1), of_u = triu(f, 0);
  // L times what lies below the diagonal, and what lies above times U: neither leaves its triangle.
  const Array dl = add(of_l, matmul(tril(l, -1), of_l)), du = matmul(of_u, triu(u, 0));
  return {add(dl, du), Array(), Array()};
}

Grads vjp_lu(const NoAttrs&, const VjpArgs& at) {
  const Array lu = at.output(0), order = at.output(2), g = at.cotangent(0);
  const auto [l, u] = square_factors(lu);
  const Array of_l = tril(g, -1), of_u = triu(g, 0);
  const Array f = add(tril(add(of_l, matmul(matrix_transpose(tril(l, -1)), of_l)), -1),
                      triu(matmul(of_u, matrix_transpose(triu(u, 0))), 0));
  const Array left = triangular_solve(l, f, {.transpose = true, .unit = true});
  const Array moved = triangular_solve_right(u, left, {.upper = true, .transpose = true});
  return {rows_in_order(moved, argsort(order, -1))};
}

VmapResult vmap_lu(const NoAttrs&, const VmapArgs& at) { return {factors(batch_first(at, 0)), {0, 0, 0}}; }

// Whether the rows were exchanged an odd number of times, as -1 or 1.
Array sign_of(const Array& pivots, DType dtype) {
  const Array moved = not_equal(pivots, iota(pivots.dim(-1), DType::uint32));
  return prod(where(moved, Array(Scalar(-1.0), dtype), Array(Scalar(1.0), dtype)), -1, false);
}

struct Determinant {
  Array diagonal, sign;
};
Determinant determinant_of(const char* op, const Array& a) {
  check_square(op, a, dtypes::any);
  const Array x = converted(a, at_least_float(a.dtype()));
  check_dtype(op, x.dtype(), kRealOrComplex);
  const Arrays f = factors(x);
  return {diagonal(f[0], 0, -2, -1), sign_of(f[1], x.dtype())};
}

Array solved(const Array& a, const Array& b) {
  const Arrays f = factors(a);
  return triangular_solve(f[0], triangular_solve(f[0], rows_in_order(b, f[2]), {.unit = true}), {.upper = true});
}

}  // namespace

namespace linalg {

Arrays lu_factor(const Array& a) {
  check_matrices("linalg.lu_factor", a, kRealOrComplex);
  const Arrays f = factors(a);
  return {f[0], f[1]};
}

Arrays lu(const Array& a) {
  check_matrices("linalg.lu", a, kRealOrComplex);
  const Arrays f = factors(a);
  const Dim m = a.dim(-2), n = a.dim(-1), k = smaller(m, n);
  const Array left = slice_axis(f[0], a.rank() - 1, 0, k, 1), right = slice_axis(f[0], a.rank() - 2, 0, k, 1);
  const Array ones =
      converted(equal(expand_dims(iota(m, DType::int32), 1), expand_dims(iota(k, DType::int32), 0)), a.dtype());
  return {argsort(f[2], -1), add(tril(left, -1), ones), triu(right, 0)};
}

Array solve(const Array& a, const Array& b) {
  const auto [left, right, vector] = solve_operands("linalg.solve", a, b);
  const Array x = solved(left, right);
  return vector ? squeeze(x, -1) : x;
}

Array inv(const Array& a) {
  check_square("linalg.inv", a, kRealOrComplex);
  return solved(a, with_leading(identity_of(a.dim(-1), a.dtype()), leading(a.shape(), 2), 2));
}

Array det(const Array& a) {
  const auto [diagonal, sign] = determinant_of("linalg.det", a);
  return multiply(sign, prod(diagonal, -1, false));
}

Arrays slogdet(const Array& a) {
  const auto [diagonal, sign] = determinant_of("linalg.slogdet", a);
  const Array size = abs(diagonal);
  return {multiply(sign, prod(plait::sign(diagonal), -1, false)), sum(log(size), -1, false)};
}

}  // namespace linalg

void register_lu(OpRegistry& ops) {
  ops.opaque("lu_factor")
      .summary(
          "Triangular factors of matrices whose rows were exchanged, both in one array; the exchanges; the order of the rows.")
      .input("a", linalg::kRealOrComplex, "shape (..., m, n)")
      .infer(infer_lu)
      .check(check_lu)
      .vjp(vjp_lu)
      .jvp(jvp_lu)
      .vmap(vmap_lu);
  ops.function("lu_factor")
      .module("core.linalg")
      .signature("(a: array, *, stream: StreamOrDevice = None) -> tuple[array, array]")
      .summary(
          "Triangular factors in one array, L below the diagonal and U from it on, and which row each row was exchanged with.")
      .details(
          "Shapes: (..., m, n) -> (..., m, n) and (..., min(m, n)). Dtypes: float32, float64 or complex64, and uint32. Row i was exchanged with "
          "row pivots[i] >= i, from the first row on. Singular matrices have a zero on U's diagonal. NaN where a matrix holds NaN or "
          "infinities. The derivative of a singular matrix does not exist: LinAlgError. Errors: ShapeError, DTypeError.")
      .oracle("oracle.lu_factor(a)")
      .sample("[[[1.0, 2.0, 0.5], [3.0, -1.0, 1.5], [0.5, 2.5, -2.0]]]")
      .sample("[[[1.0, 2.0], [3.0, -1.0], [0.5, 2.5]]]")
      .sample("[[[1.0, 3.0, 0.5], [2.0, -1.0, 2.5]], [[-2.0, 1.0, 1.5], [0.5, 0.75, -1.0]]]")
      .sample("(0, 0)")
      .sample("(2, 0, 3)")
      .sample("(3, 0)")
      .rejects("(3,)", "", "ShapeError");
  ops.function("lu")
      .module("core.linalg")
      .signature("(a: array, *, stream: StreamOrDevice = None) -> tuple[array, array, array]")
      .summary("P, L and U with a = (L @ U)[P]: lower triangular with ones on the diagonal, and upper triangular.")
      .details(
          "Shapes: (..., m, n) -> (..., m), (..., m, k), (..., k, n) with k = min(m, n). Dtypes: uint32, and float32, float64 or complex64. NaN "
          "where a matrix holds NaN or infinities. Errors: ShapeError, DTypeError.")
      .oracle("oracle.lu(a)")
      .sample("[[[1.0, 2.0, 0.5], [3.0, -1.0, 1.5], [0.5, 2.5, -2.0]]]")
      .sample("[[[1.0, 2.0], [3.0, -1.0], [0.5, 2.5]]]")
      .sample("[[[1.0, 3.0, 0.5], [2.0, -1.0, 2.5]], [[-2.0, 1.0, 1.5], [0.5, 0.75, -1.0]]]")
      .sample("(0, 2)")
      .rejects("(3,)", "", "ShapeError");
  ops.function("solve")
      .module("core.linalg")
      .signature("(a: array, b: array, *, stream: StreamOrDevice = None) -> array")
      .summary("x with a @ x = b.")
      .details(
          "Shapes: a (..., n, n), b (..., n, k) or (n,); leading axes broadcast. Dtypes: float32, float64, complex64. Errors: LinAlgError, naming the "
          "matrix, where one is singular; ShapeError, DTypeError.")
      .oracle("np.linalg.solve(a, b)")
      .sample("[[[1.0, 2.0, 0.5], [3.0, -1.0, 1.5], [0.5, 2.5, -2.0]]], (3,)")
      .sample("[[[1.0, 2.0], [3.0, -1.0]], [[2.0, 1.0], [0.5, 2.5]]], (2, 3)")
      .sample("[[[1.0, 2.0], [3.0, -1.0]]], (2, 2, 1)")
      .sample("(0, 0), (0,)")
      .rejects("(2, 3), (2,)", "", "ShapeError")
      .rejects("(2, 2), (3,)", "", "ShapeError")
      .rejects("[[1.0, 2.0], [2.0, 4.0]], (2,)", "", "LinAlgError");
  ops.function("inv")
      .module("core.linalg")
      .signature("(a: array, *, stream: StreamOrDevice = None) -> array")
      .summary("The inverses of matrices.")
      .details(
          "Shapes: (..., n, n), float32, float64 or complex64. solve is more exact, and cheaper, where the inverse is multiplied with something. "
          "Errors: LinAlgError, naming the matrix, where one is singular; ShapeError, DTypeError.")
      .oracle("np.linalg.inv(np.asarray(a))")
      .sample("[[[1.0, 2.0, 0.5], [3.0, -1.0, 1.5], [0.5, 2.5, -2.0]]]")
      .sample("[[[1.0, 2.0], [3.0, -1.0]], [[2.0, 1.0], [0.5, 2.5]]]")
      .sample("(0, 0)")
      .rejects("(2, 3)", "", "ShapeError")
      .rejects("(2,)", "", "ShapeError")
      .rejects("[[0.0, 0.0], [0.0, 0.0]]", "", "LinAlgError");
  ops.function("det")
      .module("core.linalg")
      .signature("(a: array, *, stream: StreamOrDevice = None) -> array")
      .summary("Determinants.")
      .details(
          "Shapes: (..., n, n) -> (...). Dtype: float32 for integers and bool. The derivative goes through the factors, which a singular matrix "
          "does not have: LinAlgError. Errors: ShapeError, DTypeError.")
      .oracle("np.linalg.det(a)")
      .sample("[[[1.0, 2.0, 0.5], [3.0, -1.0, 1.5], [0.5, 2.5, -2.0]]]")
      .sample("[[[1.0, 2.0], [3.0, -1.0]], [[2.0, 1.0], [0.5, 2.5]]]")
      .sample("(0, 0)")
      .rejects("(2, 3)", "", "ShapeError")
      .rejects("(2,)", "", "ShapeError");
  ops.function("slogdet")
      .module("core.linalg")
      .signature("(a: array, *, stream: StreamOrDevice = None) -> SlogdetResult")
      .summary("The sign of determinants and the logarithm of their size: det(a) = sign * exp(logabsdet).")
      .details(
          "Shapes: (..., n, n) -> (...) twice. Dtype: float32 for integers and bool; of complex matrices the sign is a number of size 1. 0 and "
          "-inf for singular matrices, whose derivative does not exist: LinAlgError. Errors: ShapeError, DTypeError.")
      .oracle("tuple(np.linalg.slogdet(a))")
      .sample("[[[1.0, 2.0, 0.5], [3.0, -1.0, 1.5], [0.5, 2.5, -2.0]]]")
      .sample("[[[1.0, 2.0], [3.0, -1.0]], [[2.0, 1.0], [0.5, 2.5]]]")
      .sample("(0, 0)")
      .rejects("(2, 3)", "", "ShapeError")
      .rejects("(2,)", "", "ShapeError");
}

}  // namespace plait
