#include "ops/matrices.h"
#include "ops/prelude.h"
#include "plait/linalg.h"

namespace plait {
namespace {

using namespace linalg;

struct SvdAttrs {
  bool vectors = true;
};

Dim smaller(Dim a, Dim b) { return a < b ? a : b; }
DType real_of(DType dtype) { return dtype == DType::complex64 ? DType::float32 : dtype; }

Avals infer_svd(const SvdAttrs& attrs, std::span<const Aval> in) {
  const int rank = in[0].shape.rank();
  const Dim m = in[0].shape[rank - 2], n = in[0].shape[rank - 1], k = smaller(m, n);
  const Shape batch = leading(in[0].shape, 2);
  const auto with = [&](std::initializer_list<Dim> last) {
    Shape shape = batch;
    for (Dim d : last) shape.push_back(d);
    return shape;
  };
  const Aval s{with({k}), real_of(in[0].dtype)};
  if (!attrs.vectors) return {s};
  return {{with({m, k}), in[0].dtype}, s, {with({k, n}), in[0].dtype}};
}

const char* check_svd(const SvdAttrs&, std::span<const Aval> in) { return linalg::check_matrices(in[0]); }

Arrays factors(const Array& a, bool vectors) {
  static const OpHandle op("svd");
  return make_all(*op, Ref<AttrsBase>::adopt(new AttrsBox<SvdAttrs>(SvdAttrs{vectors})), {a});
}

// a minus its part in the span of q's columns.
Array outside(const Array& q, const Array& a) { return subtract(a, matmul(q, matmul(adjoint(q), a))); }
Array times_rows(const Array& x, const Array& a) { return multiply(expand_dims(x, -1), a); }
Array on_diagonal(const Array& x) { return multiply(identity_of(x.dim(-1), x.dtype()), expand_dims(x, -1)); }

// A = U S V^H and P = U^H dA V, in J. Townsend's notation (2016, "Differentiating the singular value decomposition"): S moves by the
// diagonal of P, U and V turn within their spans by what lies beside it, and out of them by what of dA lies outside. Vectors are known
// up to a phase; where they are complex U takes all that the diagonal says of it.
Arrays jvp_svd(const SvdAttrs& attrs, const JvpArgs& at) {
  const Array& change = at.tangent(0);
  const Arrays f = attrs.vectors ? Arrays(at.outputs.begin(), at.outputs.end()) : factors(at.input(0), true);
  const Array &u = f[0], &s = f[1], &vh = f[2], v = adjoint(vh), uh = adjoint(u);
  const Array p = matmul(uh, matmul(change, v)), ph = adjoint(p);
  const Array diagonal_of_p = diagonal(p, 0, -2, -1);
  if (!attrs.vectors) return {real(diagonal_of_p)};
  const Array between = inverse_differences(square(s));
  Array turn_u = multiply(between, add(times_columns(p, s), times_rows(s, ph)));
  const Array turn_v = multiply(between, add(times_rows(s, p), times_columns(ph, s)));
  if (p.dtype() == DType::complex64)
    turn_u = add(turn_u, on_diagonal(divide(subtract(diagonal_of_p, real(diagonal_of_p)), s)));
  Array du = matmul(u, turn_u), dv = matmul(v, turn_v);
  const Dim m = u.dim(-2), n = vh.dim(-1);
  if (n < m) du = add(du, outside(u, times_columns(matmul(change, v), reciprocal(s))));
  if (m < n) dv = add(dv, outside(v, times_columns(matmul(adjoint(change), u), reciprocal(s))));
  return {du, real(diagonal_of_p), adjoint(dv)};
}

// Gradients here are conjugates of cotangents, so that products with adjoints are inner products.
Grads vjp_svd(const SvdAttrs& attrs, const VjpArgs& at) {
  const Arrays f = attrs.vectors ? Arrays{at.output(0), at.output(1), at.output(2)} : factors(at.input(0), true);
  const Array &u = f[0], &s = f[1], &vh = f[2], v = adjoint(vh), uh = adjoint(u);
  const Array of_s = at.cotangent(attrs.vectors ? 1 : 0);
  if (!attrs.vectors || (is_zeros(at.cotangent(0)) && is_zeros(at.cotangent(2))))
    return {conjugate(matmul(times_columns(u, of_s), vh))};
  const Array of_u = conjugate(at.cotangent(0)), of_v = matrix_transpose(at.cotangent(2));
  const Array within_u = matmul(uh, of_u), within_v = matmul(vh, of_v);
  const Array between = inverse_differences(square(s));
  const Array turn_u = multiply(between, within_u), turn_v = multiply(between, within_v);
  Array inner = add(times_columns(add(turn_u, adjoint(turn_u)), s), times_rows(s, add(turn_v, adjoint(turn_v))));
  inner = add(inner, on_diagonal(converted(of_s, u.dtype())));
  if (u.dtype() == DType::complex64) {
    const Array d = diagonal(within_u, 0, -2, -1);
    inner = add(inner, on_diagonal(divide(subtract(d, real(d)), s)));
  }
  Array total = matmul(u, matmul(inner, vh));
  const Dim m = u.dim(-2), n = vh.dim(-1);
  if (n < m) total = add(total, matmul(times_columns(outside(u, of_u), reciprocal(s)), vh));
  if (m < n) total = add(total, matmul(u, adjoint(times_columns(outside(v, of_v), reciprocal(s)))));
  return {conjugate(total)};
}

VmapResult vmap_svd(const SvdAttrs& attrs, const VmapArgs& at) {
  VmapResult result{factors(batch_first(at, 0), attrs.vectors), {}};
  for (size_t i = 0; i < result.outputs.size(); ++i) result.axes.push_back(0);
  return result;
}

// ---- what the other columns of a basis are ----

Avals infer_complement(const NoAttrs&, std::span<const Aval> in) {
  Aval out = in[0];
  const int rank = out.shape.rank();
  out.shape[rank - 1] = out.shape[rank - 2] - out.shape[rank - 1];
  return {out};
}

const char* check_complement(const NoAttrs&, std::span<const Aval> in) {
  const int rank = in[0].shape.rank();
  return rank >= 2 && in[0].shape[rank - 2] >= in[0].shape[rank - 1] ? nullptr : "at most as many columns as rows";
}

Array complement(const Array& q) { return orthonormal_complement(q); }

// The columns are any basis of what q leaves. They follow q without turning among themselves.
Arrays jvp_complement(const NoAttrs&, const JvpArgs& at) {
  return {negative(matmul(at.input(0), matmul(adjoint(at.tangent(0)), at.output())))};
}
Grads vjp_complement(const NoAttrs&, const VjpArgs& at) {
  const Array g = conjugate(at.cotangent());
  return {conjugate(negative(matmul(at.output(), matmul(adjoint(g), at.input(0)))))};
}
VmapResult vmap_complement(const NoAttrs&, const VmapArgs& at) { return {{complement(batch_first(at, 0))}, {0}}; }

// ---- the pseudo-inverse ----

struct PinvAttrs {
  Scalar rtol = -1.0;  // below 0: 10 max(m, n) eps, which the kernel knows
};

Avals infer_pinv(const PinvAttrs&, std::span<const Aval> in) {
  Aval out = in[0];
  const int rank = out.shape.rank();
  std::swap(out.shape[rank - 1], out.shape[rank - 2]);
  return {out};
}

const char* check_pinv(const PinvAttrs&, std::span<const Aval> in) { return linalg::check_matrices(in[0]); }

Array pseudo_inverse(const Array& a, const PinvAttrs& attrs) {
  static const OpHandle op("pinv");
  return op(attrs, {a});
}

// G. Golub and V. Pereyra, 1973, "The differentiation of pseudo-inverses": for changes that keep the rank. It needs no singular vectors,
// so that equal singular values do no harm.
Arrays jvp_pinv(const PinvAttrs&, const JvpArgs& at) {
  const Array &a = at.input(0), &p = at.output(), &change = at.tangent(0);
  const Array across = matrix_transpose(change), pt = matrix_transpose(p);
  const Array left = matmul(p, matmul(pt, subtract(across, matmul(across, matmul(a, p)))));
  const Array right = matmul(subtract(across, matmul(p, matmul(a, across))), matmul(pt, p));
  return {subtract(add(left, right), matmul(p, matmul(change, p)))};
}

Grads vjp_pinv(const PinvAttrs&, const VjpArgs& at) {
  const Array &a = at.input(0), p = at.output(), g = at.cotangent();
  const Array pt = matrix_transpose(p), gt = matrix_transpose(g);
  const Array left = matmul(subtract(gt, matmul(a, matmul(p, gt))), matmul(p, pt));
  const Array right = matmul(pt, matmul(p, subtract(gt, matmul(matmul(gt, p), a))));
  return {subtract(add(left, right), matmul(pt, matmul(g, pt)))};
}

VmapResult vmap_pinv(const PinvAttrs& attrs, const VmapArgs& at) {
  return {{pseudo_inverse(batch_first(at, 0), attrs)}, {0}};
}

}  // namespace

namespace linalg {

Array orthonormal_complement(const Array& q) {
  static const OpHandle op("orthonormal_complement");
  return op(NoAttrs{}, {q});
}

Arrays reduced_svd(const Array& a) {
  check_matrices("linalg.svd", a, kRealOrComplex);
  Arrays f = factors(a, true);
  const Array phase = phase_of_columns(f[0]);
  f[0] = multiply(f[0], conjugate(phase));
  if (!(a.dim(-2) == Dim(0))) f[2] = multiply(f[2], matrix_transpose(phase));
  return f;
}

Array svdvals(const Array& a) { return svd(a, false)[0]; }

Arrays svd(const Array& a, bool compute_uv) {
  check_matrices("linalg.svd", a, kRealOrComplex);
  if (!compute_uv) return factors(a, false);
  Arrays f = reduced_svd(a);
  const Dim m = a.dim(-2), n = a.dim(-1);
  if (n < m) f[0] = concatenate({f[0], complement(f[0])}, a.rank() - 1);
  if (m < n) f[2] = concatenate({f[2], adjoint(complement(adjoint(f[2])))}, a.rank() - 2);
  return f;
}

Array pinv(const Array& a) {
  check_matrices("linalg.pinv", a, kReal);
  return pseudo_inverse(a, {});
}

Array pinv(const Array& a, double rtol) {
  check_matrices("linalg.pinv", a, kReal);
  if (!(rtol >= 0))
    throw ArgumentError(
        {.op = "linalg.pinv", .got = "rtol " + std::to_string(rtol), .accepts = "0 and more", .where = here()});
  return pseudo_inverse(a, {Scalar(rtol)});
}

}  // namespace linalg

void register_svd(OpRegistry& ops) {
  ops.opaque<SvdAttrs>("svd")
      .summary("U, S and V^H with a = U diag(S) V^H, of which the extents are the smaller one of a; or S alone.")
      .input("a", linalg::kRealOrComplex, "shape (..., m, n)")
      .attr("vectors", &SvdAttrs::vectors, "U and V^H as well")
      .infer(infer_svd)
      .check(check_svd)
      .vjp(vjp_svd)
      .jvp(jvp_svd)
      .vmap(vmap_svd);
  ops.opaque("orthonormal_complement")
      .summary("Columns that make orthonormal ones a basis.")
      .input("q", linalg::kRealOrComplex, "shape (..., m, k), k <= m")
      .infer(infer_complement)
      .check(check_complement)
      .vjp(vjp_complement)
      .jvp(jvp_complement)
      .vmap(vmap_complement);
  ops.opaque<PinvAttrs>("pinv")
      .summary("Moore and Penrose's inverse.")
      .input("a", linalg::kReal, "shape (..., m, n)")
      .attr("rtol", &PinvAttrs::rtol,
            "singular values up to this times the largest count as 0; below 0: 10 max(m, n) eps")
      .infer(infer_pinv)
      .check(check_pinv)
      .vjp(vjp_pinv)
      .jvp(jvp_pinv)
      .vmap(vmap_pinv);
  ops.function("svd")
      .module("core.linalg")
      .signature("(a: array, compute_uv: bool = True, *, stream: StreamOrDevice = None) -> array | SVDResult")
      .summary("U, S and V^H with a = U[:, :k] * S @ V^H[:k], S largest first; or S alone.")
      .details(
          "Shapes: (..., m, n) -> (..., m, m), (..., k), (..., n, n) with k = min(m, n); with compute_uv=False S alone, as an array. Dtypes: "
          "float32, float64 or complex64, whose S is float32. Columns of U are turned so that the first large element (0.618 of the largest) is "
          "positive. NaN where a matrix holds NaN or infinities. Derivatives of U and V^H exist where singular values differ and, for their "
          "first k vectors where m and n differ, none is 0; they are not finite elsewhere. Those beyond are any basis of the rest, "
          "and have the derivative of one that does not turn within it. S alone has derivatives everywhere. Errors: LinAlgError, naming the matrix, where the iteration fails; ShapeError, DTypeError.")
      .oracle("oracle.svd(a) if compute_uv else np.linalg.svd(np.asarray(a), compute_uv=False)")
      .sample("[[[1.0, 2.0, 0.5], [3.0, -1.0, 1.5], [0.5, 2.5, -2.0]]]", "compute_uv=True")
      .sample("[[[1.0, 2.0], [3.0, -1.0]], [[2.0, 1.0], [0.5, 2.5]]]", "compute_uv=True")
      .sample("[[[1.0, 2.0], [3.0, -1.0], [0.5, 2.5]]]", "compute_uv=False")
      .sample("[[1.0, 3.0, 0.5], [2.0, -1.0, 2.5]]", "compute_uv=False")
      .sample("(0, 0)", "compute_uv=True")
      .sample("(2, 0, 3)", "compute_uv=False")
      .rejects("(3,)", "", "ShapeError");
  ops.function("svdvals")
      .module("core.linalg")
      .signature("(x: array, /, *, stream: StreamOrDevice = None) -> array")
      .summary("Singular values of matrices, largest first: linalg.svd without vectors.")
      .details(
          "Shapes: (..., m, n) -> (..., min(m, n)). Dtypes: float32, float64 or complex64, whose singular values are float32. Derivatives exist "
          "everywhere. NaN where a matrix holds NaN or infinities. Errors: LinAlgError, ShapeError, DTypeError.")
      .oracle("np.linalg.svd(np.asarray(x), compute_uv=False)")
      .sample("[[[1.0, 2.0], [3.0, -1.0], [0.5, 2.5]]]")
      .sample("[[1.0, 3.0, 0.5], [2.0, -1.0, 2.5]]")
      .sample("(2, 0, 3)")
      .rejects("(3,)", "", "ShapeError");
  ops.function("pinv")
      .module("core.linalg")
      .signature("(a: array, *, stream: StreamOrDevice = None) -> array")
      .summary("The pseudo-inverse of Moore and Penrose.")
      .details(
          "Shapes: (..., m, n) -> (..., n, m); float32 or float64. Singular values up to 10 max(m, n) eps times the largest count as 0. The derivative "
          "is that for changes that keep the rank. NaN where a matrix holds NaN or infinities. Errors: LinAlgError, ShapeError, DTypeError.")
      .oracle("np.linalg.pinv(np.asarray(a))")
      .sample("[[[1.0, 2.0, 0.5], [3.0, -1.0, 1.5], [0.5, 2.5, -2.0]]]")
      .sample("[[[1.0, 2.0], [3.0, -1.0], [0.5, 2.5]]]")
      .sample("[[[1.0, 3.0, 0.5], [2.0, -1.0, 2.5]], [[-2.0, 1.0, 1.5], [0.5, 0.75, -1.0]]]")
      .sample("(0, 0)")
      .sample("(2, 0, 3)")
      .rejects("(3,)", "", "ShapeError");
}

}  // namespace plait
