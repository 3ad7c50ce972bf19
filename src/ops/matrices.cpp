#include "ops/matrices.h"

#include "ops/create/iota.h"
#include "ops/prelude.h"

namespace plait::linalg {
namespace {

// The diagonal of a Hermitian matrix is real.
Array real_diagonal(const Array& a) {
  const Array d = tril(triu(a, 0), 0);
  return a.dtype() == DType::complex64 ? converted(real(d), a.dtype()) : d;
}

}  // namespace

void check_dtype(std::string_view op, DType dtype, DTypes accepted) {
  if (is_in(dtype, accepted)) return;
  throw DTypeError({.op = std::string(op),
                    .got = std::string(name_of(dtype)),
                    .accepts = accepted == kReal ? "float32 or float64" : "float32, float64 or complex64",
                    .hint = is_in(dtype, dtypes::complex) ? "" : "astype(float32) converts",
                    .where = here()});
}

void check_matrices(std::string_view op, const Array& a, DTypes accepted) {
  if (a.rank() < 2)
    throw ShapeError({.op = std::string(op),
                      .got = "an array of shape " + to_string(a.shape()),
                      .accepts = "matrices in the last two axes",
                      .where = here()});
  check_dtype(op, a.dtype(), accepted);
}

void check_square(std::string_view op, const Array& a, DTypes accepted) {
  check_matrices(op, a, accepted);
  if (!(a.dim(-1) == a.dim(-2)))
    throw ShapeError({.op = std::string(op),
                      .got = "an array of shape " + to_string(a.shape()),
                      .accepts = "square matrices in the last two axes",
                      .where = here()});
}

const char* check_matrices(const Aval& a) { return a.shape.rank() >= 2 ? nullptr : "matrices"; }
const char* check_square(const Aval& a) {
  const int rank = a.shape.rank();
  return rank >= 2 && a.shape[rank - 1] == a.shape[rank - 2] ? nullptr : "square matrices";
}

Shape leading(const Shape& shape, int without) { return Shape(shape.begin(), shape.end() - without); }

Array with_leading(const Array& a, const Shape& leading, int kept) {
  Shape to = leading;
  for (int i = a.rank() - kept; i < a.rank(); ++i) to.push_back(a.shape()[i]);
  return broadcast_to(a, to);
}

Array identity_of(Dim n, DType dtype) {
  const Array i = iota(n, DType::int32);
  return converted(equal(expand_dims(i, 0), expand_dims(i, 1)), dtype);
}

Array adjoint(const Array& a) { return matrix_transpose(conjugate(a)); }

Array half_lower(const Array& a) {
  const Array half = multiply(identity_of(a.dim(-1), a.dtype()), Array(Scalar(0.5), a.dtype()));
  return subtract(tril(a, 0), multiply(half, a));
}

Array from_lower(const Array& a) {
  const Array below = tril(a, -1);
  return add(add(below, adjoint(below)), real_diagonal(a));
}

Array to_lower(const Array& g) { return add(add(tril(g, -1), adjoint(triu(g, 1))), real_diagonal(g)); }

bool is_zeros(const Array& a) {
  static const OpHandle constant("constant"), broadcast("broadcast_to");
  const Node* node = a.node();
  if (node && node->op == &*broadcast) node = node->inputs[0].node();
  if (!node || node->op != &*constant) return false;
  const Scalar& value = node->attrs_as<ConstantAttrs>().value;
  return value.re == 0 && value.im == 0;
}

Array inverse_differences(const Array& x) {
  const Array difference = subtract(expand_dims(x, -2), expand_dims(x, -1));
  const Array diagonal = identity_of(x.dim(-1), DType::bool_);
  // Neither the quotient nor its derivative may see the zeros there.
  return where(diagonal, zeros_like(difference), reciprocal(where(diagonal, ones_like(difference), difference)));
}

Array times_columns(const Array& a, const Array& x) { return multiply(a, expand_dims(x, -2)); }

Array phase_of_columns(const Array& a) {
  if (a.dim(-2) == Dim(0)) return ones_like(a);
  const Array size = abs(a);
  const Array large = greater_equal(size, multiply(max(size, Axes{-2}, true), Array(Scalar(0.618), size.dtype())));
  return sign(take_along_axis(a, argmax(large, -2, true), -2));
}

}  // namespace plait::linalg
