#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "plait/linalg_error.h"

namespace plait {

/// A matrix that an op of linear algebra cannot do, found while it ran, on whichever device.
class PLAIT_API MatrixError : public LinAlgError {
 public:
  /// `what` is LAPACK's number: a minor's order for cholesky, a place on the diagonal, from 1, for triangular_solve. `matrix` counts through
  /// the batch of `matrices`, and `index` is its index there ("1, 0"), if known; `where` is the operation's line, if known.
  MatrixError(std::string_view op, int64_t what, int64_t matrix, int64_t matrices, const std::string& index = {},
              std::string where = {});
  int64_t what_failed, matrix, matrices;
};

}  // namespace plait
