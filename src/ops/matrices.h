#pragma once

#include <string_view>

#include "graph/op.h"
#include "plait/array.h"

/// What the functions of plait.core.linalg share: checks of what is given, and parts of their rules.
namespace plait::linalg {

inline constexpr DTypes kReal = dtype_bit(DType::float32) | dtype_bit(DType::float64);
inline constexpr DTypes kRealOrComplex = kReal | dtype_bit(DType::complex64);

/// Errors: DTypeError naming `op`.
void check_dtype(std::string_view op, DType dtype, DTypes accepted);
/// Matrices in the last two axes. Errors: ShapeError, DTypeError naming `op`.
void check_matrices(std::string_view op, const Array& a, DTypes accepted);
void check_square(std::string_view op, const Array& a, DTypes accepted);

/// For `check` of primitives: null when these are matrices, or square ones.
const char* check_matrices(const Aval& a);
const char* check_square(const Aval& a);

/// The extents before the last `without` ones.
Shape leading(const Shape& shape, int without);
/// `a` with these leading extents before its last `kept` axes.
Array with_leading(const Array& a, const Shape& leading, int kept);

/// Ones on the diagonal of (n, n), for an extent of a trace as well.
Array identity_of(Dim n, DType dtype);
/// The conjugate transpose; of real matrices the transpose.
Array adjoint(const Array& a);
/// The lower triangle with half of the diagonal: x with x + adjoint(x) = a for a Hermitian a.
Array half_lower(const Array& a);
/// A symmetric or Hermitian matrix from its lower triangle, and what a gradient of that, conjugated, is to the triangle.
Array from_lower(const Array& a);
Array to_lower(const Array& g);

/// Whether it is a constant of zeros: the cotangent of a result that nothing depends on.
bool is_zeros(const Array& a);
/// 1 / (x[j] - x[i]) beside the diagonal, 0 on it, for the last axis; infinite where two are equal.
Array inverse_differences(const Array& x);
/// Column j of a times x[j].
Array times_columns(const Array& a, const Array& x);
/// The sign, or the phase, of one element of each column: the first that is not much smaller than the largest, so that neither
/// rounding nor equal sizes decide. Divided by it a vector that is known up to its sign is known.
Array phase_of_columns(const Array& a);

/// Columns that make the orthonormal ones of q (..., m, k) a basis: (..., m, m - k).
Array orthonormal_complement(const Array& q);

/// What the op file solve_triangular.cpp makes: x with op(a) x = b for a triangle of a; leading extents are equal.
struct TriangularAttrs {
  bool upper = false;
  bool transpose = false;  // op(a) is the transpose
  bool unit = false;  // the diagonal is taken as ones and not read
};
Array triangular_solve(const Array& a, const Array& b, const TriangularAttrs& attrs);
/// What a solve is given, with one dtype and equal leading extents; b as a matrix also where it was a `vector`.
struct Operands {
  Array a, b;
  bool vector;
};
/// Errors: ShapeError, DTypeError naming `op`.
Operands solve_operands(std::string_view op, const Array& a, const Array& b);
/// x with x op(a) = b.
Array triangular_solve_right(const Array& a, const Array& b, const TriangularAttrs& attrs);

}  // namespace plait::linalg
