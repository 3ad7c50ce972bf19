#include <cmath>

#include "ops/create/iota.h"
#include "ops/prelude.h"
#include "ops/view/slice.h"

namespace plait {
namespace {

[[noreturn]] void reject(std::string got, std::string accepts) {
  throw ArgumentError({.op = "rope", .got = std::move(got), .accepts = std::move(accepts), .where = here()});
}
[[noreturn]] void reject_shape(std::string got, std::string accepts) {
  throw ShapeError({.op = "rope", .got = std::move(got), .accepts = std::move(accepts), .where = here()});
}

void check(const Array& a, int64_t dims, const std::optional<double>& base, const Array& offset,
           const std::optional<Array>& freqs) {
  if (!is_floating(a.dtype()) || !is_integer(offset.dtype()) || (freqs && freqs->dtype() == DType::complex64))
    throw DTypeError({.op = "rope",
                      .got = "a of " + std::string(name_of(a.dtype())) + ", offset of " +
                             std::string(name_of(offset.dtype())) +
                             (freqs ? ", freqs of " + std::string(name_of(freqs->dtype())) : ""),
                      .accepts = "real floats, an integer offset and real freqs",
                      .where = here()});
  if (a.rank() < 3)
    reject_shape("an array of shape " + to_string(a.shape()), "at least 3 axes: (batch, ..., length, features)");
  if (dims < 2 || dims % 2 != 0 || a.dim(-1) < Dim(dims))
    reject("dims=" + std::to_string(dims) + " for an array of shape " + to_string(a.shape()),
           "an even number from 2 to the size of the last axis");
  if (base.has_value() == freqs.has_value())
    reject(base ? "both base and freqs" : "neither base nor freqs", "one of them");
  if (base && !(*base > 0)) reject("base=" + std::to_string(*base), "a positive number");
  if (freqs && !(freqs->rank() == 1 && freqs->dim(0) == Dim(dims / 2)))
    reject_shape("freqs of shape " + to_string(freqs->shape()), "one for each pair, " + to_string(Shape{dims / 2}));
  if (offset.rank() > 1 || (offset.rank() == 1 && !(offset.dim(0) == 1) && !(offset.dim(0) == a.dim(0))))
    reject_shape("an offset of shape " + to_string(offset.shape()),
                 "one number, or one for each example, " + to_string(Shape{a.dim(0)}));
}

// Positions along the last axis but one: (length,), or (batch, 1, ..., length) when each example has its own offset.
Array positions(const Array& a, const Array& offset) {
  const bool narrow = size_of(offset.dtype()) < 4 || offset.dtype() == DType::int32;
  const DType dtype = narrow ? DType::int32 : DType::int64;
  Array first = converted(offset, dtype);
  if (offset.rank() == 1) {
    Shape shape{offset.dim(0)};
    for (int i = 2; i < a.rank(); ++i) shape.push_back(1);
    first = reshape(first, shape);
  }
  return add(iota(a.dim(-2), dtype), first);
}

}  // namespace

namespace fast {

Array rope(const Array& a, int64_t dims, bool traditional, std::optional<double> base, double scale,
           const Array& offset, const std::optional<Array>& freqs) {
  check(a, dims, base, offset, freqs);
  const DType wide = is_half(a.dtype()) ? DType::float32 : a.dtype();
  const int64_t pairs = dims / 2;
  const auto number = [&](double x) { return Array(Scalar(x), wide); };

  const Array turns = freqs ? reciprocal(converted(*freqs, wide))
                            : exp(multiply(iota(pairs, wide), number(-std::log(*base) / static_cast<double>(pairs))));
  const Array scaled = multiply(converted(positions(a, offset), wide), number(scale));
  const Array angles = multiply(expand_dims(scaled, -1), turns);  // (..., length, pairs)

  // The partner of each feature is a view of its pair turned around: no halves are cut out and put together again.
  const bool whole = a.dim(-1) == Dim(dims);
  const Array x = whole ? a : slice_axis(a, a.rank() - 1, 0, dims);
  Shape paired = x.shape();
  paired.back() = traditional ? pairs : 2;
  paired.push_back(traditional ? 2 : pairs);
  const int pair_axis = traditional ? -1 : -2;
  const Array own = reshape(x, paired), partner = flip(own, pair_axis);
  const Array signs =
      arange(Scalar(-1.0), Scalar(3.0), Scalar(2.0), wide);  // -1 for the first of a pair, 1 for the second
  const Array along = multiply(converted(own, wide), expand_dims(cos(angles), pair_axis));
  const Array across = multiply(converted(partner, wide), multiply(expand_dims(sin(angles), pair_axis),
                                                                   traditional ? signs : expand_dims(signs, 1)));
  const Array y = reshape(converted(add(along, across), a.dtype()), x.shape());
  return whole ? y : concatenate({y, slice_axis(a, a.rank() - 1, dims, a.dim(-1) - Dim(dims))}, -1);
}

}  // namespace fast

void register_rope(OpRegistry& ops) {
  ops.function("rope")
      .module("core.fast")
      .signature(
          "(a: array, dims: int, *, traditional: bool, base: float | None, scale: float, offset: int | array, freqs: array | None = None, stream: StreamOrDevice = None) -> array")
      .summary("Rotary position encoding: each pair of features turned by an angle that grows with the position.")
      .details(
          "Shapes: a (N, ..., L, features) -> same; the first dims features turn, the others stay. traditional: pairs are neighbours, otherwise feature i and feature i + dims / 2.\n"
          "Position j of the last axis but one turns pair i by (offset + j) * scale / base ** (2 * i / dims), or by (offset + j) * scale / freqs[i]. offset: a number, or one for each example. freqs: (dims / 2,), instead of a base.\n"
          "Dtype: that of a; 16-bit floats are computed in float32. Errors: ValueError for shapes and dtypes that do not fit, odd dims, both or neither of base and freqs.\n"
          "Source: Su et al., 2021, \"RoFormer: Enhanced Transformer with Rotary Position Embedding\".")
      .oracle("oracle.rope(a, dims, traditional, base, scale, offset, freqs)")
      .sample("(2, 3, 4)", "dims=4, traditional=False, base=100.0, scale=1.0, offset=0")
      .sample("(1, 2, 3, 6)", "dims=4, traditional=True, base=10000.0, scale=0.5, offset=3")
      .sample("(1, 2, 3, 5)", "dims=2, traditional=False, base=10.0, scale=1.0, offset=-1")
      .rejects("(2, 4)", "dims=4, traditional=False, base=100.0, scale=1.0, offset=0", "ValueError")
      .rejects("(1, 2, 4)", "dims=4, traditional=False, base=None, scale=1.0, offset=0", "ValueError")
      .rejects("(1, 2, 4)", "dims=4, traditional=False, base=-1.0, scale=1.0, offset=0", "ValueError")
      .rejects("(1, 2, 4)", "dims=8, traditional=False, base=100.0, scale=1.0, offset=0", "ValueError")
      .rejects("(1, 2, 4)", "dims=3, traditional=False, base=100.0, scale=1.0, offset=0", "ValueError")
      .rejects("(1, 2, 4)", "dims=0, traditional=False, base=100.0, scale=1.0, offset=0", "ValueError");
}

}  // namespace plait
