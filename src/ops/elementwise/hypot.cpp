#include <limits>

#include "ops/prelude.h"

namespace plait {
namespace {

// Squares of magnitudes from `low` to `high` neither overflow nor lose what the root needs; outside, multiplying by a power of
// two, which is exact, brings the larger operand between them.
struct SquareRange {
  double low, high, up, down;
};
constexpr SquareRange kSquaresFloat32 = {0x1p-40, 0x1p62, 0x1p90, 0x1p-90};
constexpr SquareRange kSquaresFloat64 = {0x1p-400, 0x1p500, 0x1p600, 0x1p-600};

Val lower_hypot(Val a, Val b) {
  const SquareRange range = a.type() == DType::float64 ? kSquaresFloat64 : kSquaresFloat32;
  const Val x = abs(a), y = abs(b), top = max(x, y);
  const auto chosen = [&](double down, double up) {
    const Val one = top.builder->constant(Scalar(1.0), top.type());
    const Val more = top.builder->constant(Scalar(up), top.type()),
              less = top.builder->constant(Scalar(down), top.type());
    return select(top > range.high, less, select(top < range.low, more, one));
  };
  const Val scale = chosen(range.down, range.up), back = chosen(range.up, range.down);
  const Val large = top * scale, small = min(x, y) * scale;
  const Val infinity = top.builder->constant(Scalar(std::numeric_limits<double>::infinity()), top.type());
  return select(is_inf(a) | is_inf(b), infinity, sqrt(fma(large, large, small * small)) * back);
}

// 0 at the origin, where there is no derivative.
Array part_of_length(const Array& a, const Array& y) {
  return where(equal(y, zeros_like(y)), zeros_like(y), divide(a, y));
}

}  // namespace

void register_hypot(OpRegistry& ops) {
  ops.elementwise("hypot")
      .summary("sqrt(a * a + b * b), the length of the vector (a, b), without overflow between.")
      .input("a", dtypes::floating)
      .input("b", dtypes::floating)
      .floats()
      .lower(lower_hypot)
      .partials({[](std::span<const Array> x, const Array& y) { return part_of_length(x[0], y); },
                 [](std::span<const Array> x, const Array& y) { return part_of_length(x[1], y); }})
      .signature("(a: scalar | array, b: scalar | array, /, *, stream: StreamOrDevice = None) -> array")
      .oracle("np.hypot(a, b)")
      .domain("(0.5, 3)")
      .sample("(2, 3), (2, 3)")
      .sample("(2, 3), (3,)")
      .sample("(2, 1), (1, 3)")
      .sample("(), (2,)")
      .sample("(0, 3), (3,)");
}

}  // namespace plait
