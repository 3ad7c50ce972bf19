#pragma once

#include <string_view>
#include <variant>

#include "plait/array.h"
#include "plait/axes.h"

/// Functions of linear algebra whose Python form takes several kinds of argument; the others are in plait/ops.h.
namespace plait::linalg {

/// Which norm: none is the 2-norm of all elements, a number an exponent, a name one of matrices, "fro" or "nuc".
using NormOrder = std::variant<std::monostate, double, std::string_view>;

/// Norms of vectors along one axis or of matrices along two: of all elements without axis and order; with an order alone of a
/// vector or a matrix. Vectors: the sum of |x|^ord to the power of 1 / ord, the largest or smallest for infinities, how many are not 0
/// for 0. Matrices: the largest or smallest sum of a column (1, -1) or row (infinities), the largest or smallest singular value (2, -2),
/// their sum ("nuc"), the 2-norm of the elements ("fro", "f", none). Result: a real float.
/// Errors: ArgumentError for another order, ShapeError, AxisError; DTypeError where singular values are needed of 16-bit floats.
PLAIT_API Array norm(const Array& a, const NormOrder& order = {}, const Axes& axis = {}, bool keepdims = false);

/// Norms of the matrices in the last two axes: (..., m, n) -> (...), or (..., 1, 1). `order` as for `norm`; none is "fro".
/// Errors: ArgumentError for another order, ShapeError.
PLAIT_API Array matrix_norm(const Array& a, const NormOrder& order = std::string_view("fro"), bool keepdims = false);

/// Q and R of all rows: (..., m, m) and (..., m, n), where plait::linalg::qr of plait/ops.h has min(m, n) columns of Q.
/// Errors: ShapeError, DTypeError.
PLAIT_API Arrays complete_qr(const Array& a);

/// U, S and V^H with min(m, n) columns of U and rows of V^H, where svd of plait/ops.h has all.
/// Errors: LinAlgError, ShapeError, DTypeError.
PLAIT_API Arrays reduced_svd(const Array& a);

/// The pseudo-inverse, for which singular values up to `rtol` times the largest count as 0. Further as pinv of plait/ops.h.
/// Errors: ArgumentError for an rtol below 0, LinAlgError, ShapeError, DTypeError.
PLAIT_API Array pinv(const Array& a, double rtol);

}  // namespace plait::linalg
