#include "ops/matrices.h"
#include "ops/prelude.h"
#include "ops/view/slice.h"
#include "plait/linalg.h"

namespace plait {
namespace {

using namespace linalg;

Avals infer_qr(const NoAttrs&, std::span<const Aval> in) {
  Aval r = in[0];
  const int rank = r.shape.rank();
  r.shape[rank - 2] = r.shape[rank - 1];
  return {in[0], r};
}

const char* check_qr(const NoAttrs&, std::span<const Aval> in) {
  const Shape& shape = in[0].shape;
  const int rank = shape.rank();
  return rank >= 2 && shape[rank - 2] >= shape[rank - 1] ? nullptr : "matrices with at least as many rows as columns";
}

Arrays factors(const Array& a) {
  static const OpHandle op("qr");
  return make_all(*op, Ref<AttrsBase>(), {a});
}

// S. Walter, L. Lehmann and R. Lamour, 2012, "On evaluating higher-order derivatives of the QR decomposition of tall matrices".
Arrays jvp_qr(const NoAttrs&, const JvpArgs& at) {
  const Array &q = at.output(0), &r = at.output(1);
  const Array moved = triangular_solve_right(r, at.tangent(0), {.upper = true});  // dA R^-1
  const Array inner = matmul(matrix_transpose(q), moved);
  const Array below = tril(inner, -1), turn = subtract(below, matrix_transpose(below));  // Q^T dQ
  const Array rest = subtract(inner, turn);
  return {add(matmul(q, negative(rest)), moved), matmul(rest, r)};
}

Grads vjp_qr(const NoAttrs&, const VjpArgs& at) {
  const Array q = at.output(0), r = at.output(1), of_q = at.cotangent(0), of_r = triu(at.cotangent(1), 0);
  const Array m = subtract(matmul(r, matrix_transpose(of_r)), matmul(matrix_transpose(of_q), q));
  const Array inner = add(of_q, matmul(q, from_lower(m)));
  return {triangular_solve_right(r, inner, {.upper = true, .transpose = true})};
}

VmapResult vmap_qr(const NoAttrs&, const VmapArgs& at) { return {factors(batch_first(at, 0)), {0, 0}}; }

}  // namespace

namespace linalg {

// Of a wide matrix the first columns that make a square one have the same Q.
Arrays qr(const Array& a) {
  check_matrices("linalg.qr", a, kReal);
  const Dim m = a.dim(-2), n = a.dim(-1);
  if (m >= n) return factors(a);
  const int columns = a.rank() - 1;
  const Arrays f = factors(slice_axis(a, columns, 0, m, 1));
  const Array rest = matmul(matrix_transpose(f[0]), slice_axis(a, columns, m, n - m, 1));
  return {f[0], concatenate({f[1], rest}, columns)};
}

Arrays complete_qr(const Array& a) {
  Arrays f = qr(a);
  const Dim m = a.dim(-2), n = a.dim(-1);
  if (m <= n) return f;
  Shape below = leading(a.shape(), 2);
  below.push_back(m - n);
  below.push_back(n);
  return {concatenate({f[0], orthonormal_complement(f[0])}, a.rank() - 1),
          concatenate({f[1], zeros(below, a.dtype())}, a.rank() - 2)};
}

}  // namespace linalg

void register_qr(OpRegistry& ops) {
  ops.opaque("qr")
      .summary("Q and R with a = Q R, of matrices with at least as many rows as columns.")
      .input("a", linalg::kReal, "shape (..., m, n), m >= n")
      .infer(infer_qr)
      .check(check_qr)
      .vjp(vjp_qr)
      .jvp(jvp_qr)
      .vmap(vmap_qr);
  ops.function("qr")
      .module("core.linalg")
      .signature("(a: array, *, stream: StreamOrDevice = None) -> QRResult")
      .summary("Q with orthonormal columns and an upper triangular R with a = Q @ R.")
      .details(
          "Shapes: (..., m, n) -> (..., m, k) and (..., k, n) with k = min(m, n); float32 or float64. Signs are as LAPACK has them. NaN where a "
          "matrix holds NaN or infinities. The derivative exists where the first k columns are independent, and raises LinAlgError where R has a "
          "zero on its diagonal. Errors: ShapeError, DTypeError.")
      .oracle("tuple(np.linalg.qr(np.asarray(a)))")
      .sample("[[[1.0, 2.0, 0.5], [3.0, -1.0, 1.5], [0.5, 2.5, -2.0]]]")
      .sample("[[[1.0, 2.0], [3.0, -1.0], [0.5, 2.5]]]")
      .sample("[[[1.0, 3.0, 0.5], [2.0, -1.0, 2.5]], [[-2.0, 1.0, 1.5], [0.5, 0.75, -1.0]]]")
      .sample("(0, 0)")
      .sample("(2, 0, 3)")
      .sample("(3, 0)")
      .rejects("(3,)", "", "ShapeError");
}

}  // namespace plait
