#include "ops/matrices.h"
#include "ops/prelude.h"

namespace plait {
namespace {

using namespace linalg;

struct EigAttrs {
  bool vectors = true;
};

Avals infer_eig(const EigAttrs& attrs, std::span<const Aval> in) {
  const Aval w{leading(in[0].shape, 1), DType::complex64};
  return attrs.vectors ? Avals{w, {in[0].shape, DType::complex64}} : Avals{w};
}

const char* check_eig(const EigAttrs&, std::span<const Aval> in) { return linalg::check_square(in[0]); }

Arrays factors(const Array& a, bool vectors) {
  static const OpHandle op("eig");
  return make_all(*op, Ref<AttrsBase>::adopt(new AttrsBox<EigAttrs>(EigAttrs{vectors})), {a});
}

VmapResult vmap_eig(const EigAttrs& attrs, const VmapArgs& at) {
  VmapResult result{factors(batch_first(at, 0), attrs.vectors), {0}};
  if (attrs.vectors) result.axes.push_back(0);
  return result;
}

}  // namespace

namespace linalg {

Arrays eig(const Array& a) {
  check_square("linalg.eig", a, kRealOrComplex);
  Arrays f = factors(a, true);
  f[1] = multiply(f[1], conjugate(phase_of_columns(f[1])));
  return f;
}

Array eigvals(const Array& a) {
  check_square("linalg.eigvals", a, kRealOrComplex);
  return factors(a, false)[0];
}

}  // namespace linalg

void register_eig(OpRegistry& ops) {
  ops.opaque<EigAttrs>("eig")
      .summary("Eigenvalues and eigenvectors of square matrices, as complex numbers.")
      .input("a", linalg::kRealOrComplex, "shape (..., n, n)")
      .attr("vectors", &EigAttrs::vectors, "eigenvectors as well")
      .infer(infer_eig)
      .check(check_eig)
      .not_differentiable("eigenvalues of a real matrix become complex where two meet")
      .vmap(vmap_eig);
  ops.function("eig")
      .module("core.linalg")
      .signature("(a: array, *, stream: StreamOrDevice = None) -> tuple[array, array]")
      .summary("Eigenvalues of square matrices, in no order, and eigenvectors in the columns of a matrix.")
      .details(
          "Shapes: (..., n, n) -> (..., n) and (..., n, n). Dtype: complex64, of float32, float64 and complex64. Vectors have length 1, and are "
          "turned so that the first large element (0.618 of the largest) is positive. No gradient: eigh has one. NaN where a matrix holds NaN or "
          "infinities. Errors: LinAlgError, naming the matrix, where the iteration fails; ShapeError, DTypeError.")
      .not_differentiable("eigenvalues of a real matrix become complex where two meet")
      .oracle("oracle.eig(a)")
      .sample("[[[1.0, 2.0, 0.5], [3.0, -1.0, 1.5], [0.5, 2.5, -2.0]]]")
      .sample("[[[0.0, -1.0], [1.0, 0.5]], [[2.0, 1.0], [0.5, 2.5]]]")
      .sample("(0, 0)")
      .rejects("(2, 3)", "", "ShapeError")
      .rejects("(2,)", "", "ShapeError");
  ops.function("eigvals")
      .module("core.linalg")
      .signature("(a: array, *, stream: StreamOrDevice = None) -> array")
      .summary("Eigenvalues of square matrices, in no order.")
      .details("Shapes: (..., n, n) -> (..., n). Dtype: complex64. Further as eig.")
      .not_differentiable("eigenvalues of a real matrix become complex where two meet")
      .oracle("np.linalg.eigvals(np.asarray(a))")
      .sample("[[[1.0, 2.0, 0.5], [3.0, -1.0, 1.5], [0.5, 2.5, -2.0]]]")
      .sample("[[[0.0, -1.0], [1.0, 0.5]], [[2.0, 1.0], [0.5, 2.5]]]")
      .sample("(0, 0)")
      .rejects("(2, 3)", "", "ShapeError");
}

}  // namespace plait
