#include "ops/matrices.h"
#include "ops/prelude.h"

namespace plait {
namespace {

using namespace linalg;

Avals infer_cholesky(const NoAttrs&, std::span<const Aval> in) { return {in[0]}; }
const char* check_cholesky(const NoAttrs&, std::span<const Aval> in) { return linalg::check_square(in[0]); }

Array lower_root(const Array& a) {
  static const OpHandle op("cholesky");
  return op(NoAttrs{}, {a});
}

// I. Murray, 2016, "Differentiation of the Cholesky decomposition": where A moves by S, L moves by L half(L^-1 S L^-T). S is
// the symmetric matrix that the lower triangle of a change makes, as nothing else of A is read.
Arrays jvp_cholesky(const NoAttrs&, const JvpArgs& at) {
  const Array& l = at.output();
  const Array left = triangular_solve(l, from_lower(at.tangent(0)), {});
  return {matmul(l, half_lower(triangular_solve_right(l, left, {.transpose = true})))};
}

Grads vjp_cholesky(const NoAttrs&, const VjpArgs& at) {
  const Array l = at.output();
  const Array inner = half_lower(matmul(matrix_transpose(l), tril(at.cotangent(), 0)));
  const Array s = triangular_solve_right(l, triangular_solve(l, inner, {.transpose = true}), {});
  return {to_lower(s)};
}

VmapResult vmap_cholesky(const NoAttrs&, const VmapArgs& at) { return {{lower_root(batch_first(at, 0))}, {0}}; }

}  // namespace

namespace linalg {

Array cholesky(const Array& a, bool upper) {
  check_square("linalg.cholesky", a, kReal);
  return upper ? matrix_transpose(lower_root(matrix_transpose(a))) : lower_root(a);
}

Array cholesky_inv(const Array& a, bool upper) {
  check_square("linalg.cholesky_inv", a, kReal);
  const Array inverse = tri_inv(a, upper), across = matrix_transpose(inverse);
  return upper ? matmul(inverse, across) : matmul(across, inverse);
}

}  // namespace linalg

void register_cholesky(OpRegistry& ops) {
  ops.opaque("cholesky")
      .summary("L with L L^T = a symmetric positive definite matrix, of which the lower triangle is read.")
      .input("a", linalg::kReal, "shape (..., n, n)")
      .infer(infer_cholesky)
      .check(check_cholesky)
      .vjp(vjp_cholesky)
      .jvp(jvp_cholesky)
      .vmap(vmap_cholesky);
  ops.function("cholesky")
      .module("core.linalg")
      .signature("(a: array, upper: bool = False, *, stream: StreamOrDevice = None) -> array")
      .summary("The triangular root of symmetric positive definite matrices: L with L L^T = a, or U with U^T U = a.")
      .details(
          "Shapes: (..., n, n), float32 or float64. Only the triangle that is asked for is read; the gradient lies in it, and stands "
          "for both halves. Errors: LinAlgError, naming the matrix, where one is not positive definite; NaN where one holds NaN or "
          "infinities; ShapeError, DTypeError.")
      .oracle("np.linalg.cholesky(np.asarray(a), upper=upper)")
      .sample("[[[4.0, 1.0, 0.5], [1.0, 3.0, -0.25], [0.5, -0.25, 2.0]]]", "upper=False")
      .sample("[[[4.0, 1.0], [1.0, 3.0]], [[2.0, -1.0], [-1.0, 5.0]]]", "upper=True")
      .sample("[[[[2.25]]], [[[4.0]]]]", "upper=False")
      .sample("(0, 0)", "upper=False")
      .sample("(0, 2, 2)", "upper=True")
      .rejects("(2, 3)", "", "ShapeError")
      .rejects("(3,)", "", "ShapeError")
      .rejects("[[1.0, 2.0], [2.0, 1.0]]", "", "LinAlgError")
      .rejects("[[-1.0, 0.0], [0.0, -1.0]]", "upper=True", "LinAlgError");
  ops.function("cholesky_inv")
      .module("core.linalg")
      .signature("(a: array, upper: bool = False, *, stream: StreamOrDevice = None) -> array")
      .summary("The inverse of the matrices whose triangular roots, as cholesky gives them, are a.")
      .details(
          "Shapes: (..., n, n), float32 or float64. Errors: LinAlgError, naming the matrix, for a zero on a diagonal; ShapeError, DTypeError.")
      .oracle(
          "np.linalg.inv(np.swapaxes(np.triu(a), -1, -2) @ np.triu(a) if upper else np.tril(a) @ np.swapaxes(np.tril(a), -1, -2))")
      .domain("(0.75, 1.5)")
      .sample("(3, 3)", "upper=False")
      .sample("(2, 2, 2)", "upper=True")
      .sample("(0, 0)", "upper=False")
      .rejects("(2, 3)", "", "ShapeError")
      .rejects("[[1.0, 0.0], [1.0, 0.0]]", "", "LinAlgError");
}

}  // namespace plait
