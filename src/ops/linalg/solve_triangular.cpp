#include "ops/matrices.h"
#include "ops/prelude.h"

namespace plait {
namespace {

using linalg::TriangularAttrs;

Avals infer_triangular(const TriangularAttrs&, std::span<const Aval> in) { return {in[1]}; }

const char* check_triangular(const TriangularAttrs&, std::span<const Aval> in) {
  const Shape &a = in[0].shape, &b = in[1].shape;
  if (in[0].dtype != in[1].dtype) return "operands of one dtype";
  if (const char* accepts = linalg::check_square(in[0])) return accepts;
  return a.rank() == b.rank() && agree(a, 0, b, 0, a.rank() - 1) ? nullptr
                                                                 : "as many rows of b as of a, and equal batches";
}

Array triangle(const Array& a, const TriangularAttrs& attrs) {
  const int64_t k = attrs.unit ? 1 : 0;
  return attrs.upper ? triu(a, k) : tril(a, -k);
}

TriangularAttrs other_side(TriangularAttrs attrs) {
  attrs.transpose = !attrs.transpose;
  return attrs;
}

// op(A) X = B: a change of B goes through the same solve, and one of A as if it had changed B by -op(dA) X.
Arrays jvp_triangular(const TriangularAttrs& attrs, const JvpArgs& at) {
  Array change = at.tangent(1);
  if (at.tangent(0).defined()) {
    const Array moved = triangle(at.tangent(0), attrs);
    const Array pushed = matmul(attrs.transpose ? matrix_transpose(moved) : moved, at.output());
    change = change.defined() ? subtract(change, pushed) : negative(pushed);
  }
  return {linalg::triangular_solve(at.input(0), change, attrs)};
}

Grads vjp_triangular(const TriangularAttrs& attrs, const VjpArgs& at) {
  Grads grads(2);
  const Array b = linalg::triangular_solve(at.input(0), at.cotangent(), other_side(attrs)), x = at.output();
  if (at.needed[0]) {
    const Array outer = attrs.transpose ? matmul(x, matrix_transpose(b)) : matmul(b, matrix_transpose(x));
    grads[0] = negative(triangle(outer, attrs));
  }
  if (at.needed[1]) grads[1] = b;
  return grads;
}

VmapResult vmap_triangular(const TriangularAttrs& attrs, const VmapArgs& at) {
  return {{linalg::triangular_solve(batch_first_broadcast(at, 0), batch_first_broadcast(at, 1), attrs)}, {0}};
}

}  // namespace

namespace linalg {

Array triangular_solve(const Array& a, const Array& b, const TriangularAttrs& attrs) {
  static const OpHandle op("triangular_solve");
  return op(attrs, {a, b});
}

// x op(a) = b is op(a)^T x^T = b^T.
Array triangular_solve_right(const Array& a, const Array& b, const TriangularAttrs& attrs) {
  return matrix_transpose(triangular_solve(a, matrix_transpose(b), other_side(attrs)));
}

Operands solve_operands(std::string_view op, const Array& a, const Array& b) {
  const DType dtype = promote(a.dtype(), b.dtype());
  check_square(op, a, dtypes::any);
  check_dtype(op, dtype, kRealOrComplex);
  const bool vector = b.rank() == 1;
  if (b.rank() == 0 || !(b.dim(vector ? -1 : -2) == a.dim(-1)))
    throw ShapeError({.op = std::string(op),
                      .got = "a of shape " + to_string(a.shape()) + ", b of shape " + to_string(b.shape()),
                      .accepts = "a (..., n, n) with b (..., n, k) or (n,)",
                      .where = here()});
  const Array right = vector ? expand_dims(b, -1) : b;
  const Shape batch = broadcast_shapes(op, leading(a.shape(), 2), leading(right.shape(), 2));
  return {with_leading(converted(a, dtype), batch, 2), with_leading(converted(right, dtype), batch, 2), vector};
}

Array solve_triangular(const Array& a, const Array& b, bool upper) {
  const auto [left, right, vector] = solve_operands("linalg.solve_triangular", a, b);
  const Array x = triangular_solve(left, right, {.upper = upper});
  return vector ? squeeze(x, -1) : x;
}

Array tri_inv(const Array& a, bool upper) {
  check_square("linalg.tri_inv", a, kRealOrComplex);
  return triangular_solve(a, with_leading(identity_of(a.dim(-1), a.dtype()), leading(a.shape(), 2), 2),
                          {.upper = upper});
}

}  // namespace linalg

void register_solve_triangular(OpRegistry& ops) {
  ops.opaque<TriangularAttrs>("triangular_solve")
      .summary("x with a x = b, or a^T x = b, for one triangle of a.")
      .input("a", linalg::kRealOrComplex, "shape (..., n, n)")
      .input("b", linalg::kRealOrComplex, "shape (..., n, k), dtype of a")
      .attr("upper", &TriangularAttrs::upper, "the triangle that is read")
      .attr("transpose", &TriangularAttrs::transpose, "of that triangle")
      .attr("unit", &TriangularAttrs::unit, "ones stand on the diagonal, which is not read")
      .infer(infer_triangular)
      .check(check_triangular)
      .vjp(vjp_triangular)
      .jvp(jvp_triangular)
      .vmap(vmap_triangular);
  ops.function("solve_triangular")
      .module("core.linalg")
      .signature("(a: array, b: array, *, upper: bool = False, stream: StreamOrDevice = None) -> array")
      .summary("x with a x = b, for the lower or upper triangle of a.")
      .details(
          "Shapes: a (..., n, n), b (..., n, k) or (n,); leading axes broadcast. Dtypes: float32, float64, complex64. The other triangle "
          "is not read. Errors: LinAlgError, naming the matrix, for a zero on its diagonal; ShapeError, DTypeError.")
      .oracle("np.linalg.solve(np.triu(a) if upper else np.tril(a), b)")
      .domain("(0.75, 1.5)")
      .sample("(3, 3), (3,)", "upper=False")
      .sample("(3, 3), (3, 2)", "upper=True")
      .sample("(2, 2, 2), (2, 3)", "upper=False")
      .sample("(2, 1, 2, 2), (3, 2, 1)", "upper=True")
      .sample("(0, 0), (0, 2)", "upper=False")
      .sample("(2, 2), (2, 0)", "upper=False")
      .rejects("(2, 3), (2,)", "", "ShapeError")
      .rejects("(3,), (3,)", "", "ShapeError")
      .rejects("(2, 2), (3,)", "", "ShapeError")
      .rejects("(2, 2), ()", "", "ShapeError")
      .rejects("(2, 2, 2), (3, 2, 1)", "", "ValueError")
      .rejects("[[1.0, 2.0], [3.0, 0.0]], (2,)", "upper=True", "LinAlgError");
  ops.function("tri_inv")
      .module("core.linalg")
      .signature("(a: array, upper: bool = False, *, stream: StreamOrDevice = None) -> array")
      .summary("The inverses of triangular matrices: of the lower triangles, or the upper ones.")
      .details(
          "Shapes: (..., n, n), float32, float64 or complex64. Errors: LinAlgError, naming the matrix, for a zero on its diagonal; "
          "ShapeError, DTypeError.")
      .oracle("np.linalg.inv(np.triu(a) if upper else np.tril(a))")
      .domain("(0.75, 1.5)")
      .sample("(3, 3)", "upper=False")
      .sample("(2, 2, 2)", "upper=True")
      .sample("(1, 1)", "upper=False")
      .sample("(0, 0)", "upper=False")
      .rejects("(2, 3)", "", "ShapeError")
      .rejects("[[0.0, 0.0], [0.0, 1.0]]", "", "LinAlgError");
}

}  // namespace plait
