#include "ops/matrices.h"
#include "ops/prelude.h"

namespace plait::linalg {

// By squaring: as many products as n has bits, and one more for each that is set.
Array matrix_power(const Array& a, int64_t n) {
  check_square("linalg.matrix_power", a, kRealOrComplex);
  if (n == 0) return with_leading(identity_of(a.dim(-1), a.dtype()), leading(a.shape(), 2), 2);
  Array square = n < 0 ? inv(a) : a, product;
  bool started = false;
  for (uint64_t left = n < 0 ? 0 - static_cast<uint64_t>(n) : static_cast<uint64_t>(n); left != 0; left /= 2) {
    if (left % 2 != 0) product = started ? matmul(product, square) : square;
    started = started || left % 2 != 0;
    if (left > 1) square = matmul(square, square);
  }
  return product;
}

}  // namespace plait::linalg

namespace plait {

void register_matrix_power(OpRegistry& ops) {
  ops.function("matrix_power")
      .module("core.linalg")
      .signature("(x: array, n: int, /, *, stream: StreamOrDevice = None) -> array")
      .summary("Products of n equal matrices; of inverses for an n below 0, the identity for 0.")
      .details(
          "Shapes: (..., m, m); float32, float64 or complex64. Errors: LinAlgError where an inverse does not exist, ShapeError, DTypeError.")
      .oracle("np.linalg.matrix_power(np.asarray(x), n)")
      .domain("(0.5, 1.5)")
      .sample("(3, 3), 3")
      .sample("(2, 2, 2), 1")
      .sample("(2, 2), 6")
      .sample("(2, 3, 3), 0")
      .sample("[[[1.0, 2.0], [3.0, -1.0]], [[2.0, 1.0], [0.5, 2.5]]], -2")
      .sample("(0, 0), 5")
      .rejects("(2, 3), 2", "", "ShapeError")
      .rejects("[[1.0, 2.0], [2.0, 4.0]], -1", "", "LinAlgError");
}

}  // namespace plait
