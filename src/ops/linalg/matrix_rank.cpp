#include "ops/create/iota.h"
#include "ops/matrices.h"
#include "ops/prelude.h"

namespace plait::linalg {

Array matrix_rank(const Array& a, const std::optional<Array>& rtol) {
  check_matrices("linalg.matrix_rank", a, kRealOrComplex);
  const Dim m = a.dim(-2), n = a.dim(-1);
  const Shape batch = leading(a.shape(), 2);
  if (m == Dim(0) || n == Dim(0)) return zeros(batch, DType::int32);
  const Array s = svdvals(a);
  const double eps = s.dtype() == DType::float64 ? 0x1p-52 : 0x1p-23;
  const Array part =
      rtol ? converted(*rtol, s.dtype()) : multiply(extent(m < n ? n : m, s.dtype()), Array(Scalar(eps), s.dtype()));
  const Array least = multiply(max(s, -1, false), part);
  return sum(converted(greater(s, expand_dims(least, -1)), DType::int32), -1, false);
}

}  // namespace plait::linalg

namespace plait {

void register_matrix_rank(OpRegistry& ops) {
  ops.function("matrix_rank")
      .module("core.linalg")
      .signature("(x: array, /, *, rtol: scalar | array | None = None, stream: StreamOrDevice = None) -> array")
      .summary("How many singular values of each matrix are larger than rtol times its largest one.")
      .details(
          "Shapes: (..., m, n) -> (...); rtol broadcasts with that, and is max(m, n) eps where it is not given. Dtypes: of float32, float64 or "
          "complex64, int32. 0 where a matrix holds NaN or infinities. Errors: LinAlgError, ShapeError, DTypeError.")
      .oracle("np.linalg.matrix_rank(np.asarray(x), rtol=rtol)")
      .not_differentiable("the result is a count")
      .sample("[[[1.0, 2.0], [2.0, 4.0]], [[1.0, 2.0], [3.0, -1.0]]]")
      .sample("[[[1.0, 2.0, 0.5], [3.0, -1.0, 1.5]]]")
      .sample("[[4.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 0.125]]", "rtol=0.0625")
      .sample("(2, 0, 3)")
      .rejects("(3,)", "", "ShapeError");
}

}  // namespace plait
