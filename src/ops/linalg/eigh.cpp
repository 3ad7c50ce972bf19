#include "ops/matrices.h"
#include "ops/prelude.h"

namespace plait {
namespace {

using namespace linalg;

struct EighAttrs {
  bool vectors = true;
};

DType real_of(DType dtype) { return dtype == DType::complex64 ? DType::float32 : dtype; }

Avals infer_eigh(const EighAttrs& attrs, std::span<const Aval> in) {
  const Aval w{leading(in[0].shape, 1), real_of(in[0].dtype)};
  return attrs.vectors ? Avals{w, in[0]} : Avals{w};
}

const char* check_eigh(const EighAttrs&, std::span<const Aval> in) { return linalg::check_square(in[0]); }

Arrays factors(const Array& a, bool vectors) {
  static const OpHandle op("eigh");
  return make_all(*op, Ref<AttrsBase>::adopt(new AttrsBox<EighAttrs>(EighAttrs{vectors})), {a});
}

// A V = V diag(w). Where A moves by a Hermitian S, w moves by the diagonal of V^H S V, and V by V times what lies beside it over the
// differences of eigenvalues.
Arrays jvp_eigh(const EighAttrs& attrs, const JvpArgs& at) {
  const Arrays f = attrs.vectors ? Arrays{at.output(0), at.output(1)} : factors(at.input(0), true);
  const Array inner = matmul(adjoint(f[1]), matmul(from_lower(at.tangent(0)), f[1]));
  const Array moved = real(diagonal(inner, 0, -2, -1));
  if (!attrs.vectors) return {moved};
  return {moved, matmul(f[1], multiply(inverse_differences(f[0]), inner))};
}

Grads vjp_eigh(const EighAttrs& attrs, const VjpArgs& at) {
  const Arrays f = attrs.vectors ? Arrays{at.output(0), at.output(1)} : factors(at.input(0), true);
  const Array &w = f[0], &v = f[1], across = adjoint(v);
  Array s = matmul(times_columns(v, at.cotangent(0)), across);
  if (attrs.vectors && !is_zeros(at.cotangent(1))) {
    const Array inner = multiply(inverse_differences(w), matmul(across, conjugate(at.cotangent(1))));
    s = add(s, matmul(v, matmul(inner, across)));
  }
  return {conjugate(to_lower(s))};
}

VmapResult vmap_eigh(const EighAttrs& attrs, const VmapArgs& at) {
  VmapResult result{factors(batch_first(at, 0), attrs.vectors), {0}};
  if (attrs.vectors) result.axes.push_back(0);
  return result;
}

/// The matrix with its lower triangle where it is read.
Array lower_of(const char* op, const Array& a, std::string_view uplo) {
  check_square(op, a, kRealOrComplex);
  if (uplo == "L" || uplo == "l") return a;
  if (uplo == "U" || uplo == "u") return adjoint(a);
  throw ArgumentError({.op = op,
                       .got = "UPLO '" + std::string(uplo) + "'",
                       .accepts = "'L', 'U'",
                       .hint = "which triangle is read",
                       .where = here()});
}

}  // namespace

namespace linalg {

Arrays eigh(const Array& a, std::string_view uplo) {
  Arrays f = factors(lower_of("linalg.eigh", a, uplo), true);
  f[1] = multiply(f[1], conjugate(phase_of_columns(f[1])));
  return f;
}

Array eigvalsh(const Array& a, std::string_view uplo) {
  return factors(lower_of("linalg.eigvalsh", a, uplo), false)[0];
}

}  // namespace linalg

void register_eigh(OpRegistry& ops) {
  ops.opaque<EighAttrs>("eigh")
      .summary("Eigenvalues of Hermitian matrices, smallest first, and their eigenvectors; the lower triangle is read.")
      .input("a", linalg::kRealOrComplex, "shape (..., n, n)")
      .attr("vectors", &EighAttrs::vectors, "eigenvectors as well")
      .infer(infer_eigh)
      .check(check_eigh)
      .vjp(vjp_eigh)
      .jvp(jvp_eigh)
      .vmap(vmap_eigh);
  ops.function("eigh")
      .module("core.linalg")
      .signature("(a: array, UPLO: str = 'L', *, stream: StreamOrDevice = None) -> EighResult")
      .summary(
          "Eigenvalues of symmetric or Hermitian matrices, smallest first, and eigenvectors in the columns of a matrix.")
      .details(
          "Shapes: (..., n, n) -> (..., n) and (..., n, n). Dtypes: float32, float64 or complex64, whose eigenvalues are float32. UPLO: the triangle "
          "that is read, in which the gradient lies. Each vector is turned so that its first large element (0.618 of the largest) is positive. "
          "NaN where a matrix holds NaN or infinities. Derivatives of vectors exist where eigenvalues differ, and are not finite where two are "
          "equal; eigvalsh has derivatives everywhere. Errors: LinAlgError, naming the matrix, where the iteration fails; ArgumentError, "
          "ShapeError, DTypeError.")
      .oracle("oracle.eigh(a, UPLO)")
      .sample("[[[2.0, 0.5, -1.0], [0.5, -1.0, 0.25], [-1.0, 0.25, 0.5]]]", "UPLO='L'")
      .sample("[[[2.0, 0.5], [0.25, -1.0]], [[1.0, -2.0], [-1.5, 0.5]]]", "UPLO='U'")
      .sample("(0, 0)", "UPLO='L'")
      .sample("(2, 1, 1)", "UPLO='L'")
      .rejects("(2, 3)", "", "ShapeError")
      .rejects("(2, 2)", "UPLO='X'", "ArgumentError");
  ops.function("eigvalsh")
      .module("core.linalg")
      .signature("(a: array, UPLO: str = 'L', *, stream: StreamOrDevice = None) -> array")
      .summary("Eigenvalues of symmetric or Hermitian matrices, smallest first.")
      .details(
          "Shapes: (..., n, n) -> (..., n). Dtypes: float32, float64 or complex64, whose eigenvalues are float32. Further as eigh.")
      .oracle("np.linalg.eigvalsh(np.asarray(a), UPLO.upper())")
      .sample("[[[2.0, 0.5, -1.0], [0.5, -1.0, 0.25], [-1.0, 0.25, 0.5]]]", "UPLO='L'")
      .sample("[[[2.0, 0.5], [0.25, -1.0]], [[1.0, -2.0], [-1.5, 0.5]]]", "UPLO='u'")
      .sample("(0, 0)", "UPLO='L'")
      .rejects("(2,)", "", "ShapeError")
      .rejects("(2, 2)", "UPLO=''", "ArgumentError");
}

}  // namespace plait
