#include "base/matrix_error.h"

#include <utility>

namespace plait {
namespace {

ErrorInfo info_of(std::string_view op, int64_t what, const std::string& in_batch, std::string where) {
  ErrorInfo info{.op = std::string(op), .where = std::move(where)};
  if (op == "cholesky") {
    info.got = "a matrix that is not positive definite: its leading minor of order " + std::to_string(what) +
               " is not positive" + in_batch;
    info.accepts = "symmetric positive definite matrices";
    info.hint = "a small multiple of the identity added to it helps against rounding";
  } else if (op == "triangular_solve") {
    info.got = "a singular matrix: element " + std::to_string(what - 1) + " of the triangle's diagonal is 0" + in_batch;
    info.accepts = "invertible matrices";
    info.hint = "linalg.pinv gives the solution of least squares";
  } else {
    info.got = "a matrix on which the iteration does not converge" + in_batch;
    info.accepts = "matrices on which LAPACK converges";
    info.hint = "another scale may help: the largest and smallest elements may be too far apart";
  }
  return info;
}

std::string in_batch(int64_t matrix, int64_t matrices, const std::string& index) {
  if (index.empty() && matrices == 1) return "";
  return ", in matrix (" + (index.empty() ? std::to_string(matrix) : index) + ") of the batch";
}

}  // namespace

MatrixError::MatrixError(std::string_view op, int64_t what, int64_t matrix, int64_t matrices, const std::string& index,
                         std::string where)
    : LinAlgError(info_of(op, what, in_batch(matrix, matrices, index), std::move(where))),
      what_failed(what),
      matrix(matrix),
      matrices(matrices) {}

}  // namespace plait
