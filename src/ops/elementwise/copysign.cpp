#include <cstdint>
#include <limits>

#include "ops/prelude.h"

namespace plait {
namespace {

Val lower_copysign(Val a, Val b) {
  const bool wide = a.type() == DType::float64;
  const DType bits = wide ? DType::int64 : DType::int32;
  const Scalar sign =
      wide ? Scalar(std::numeric_limits<int64_t>::min()) : Scalar(int64_t{std::numeric_limits<int32_t>::min()});
  const Scalar rest =
      wide ? Scalar(std::numeric_limits<int64_t>::max()) : Scalar(int64_t{std::numeric_limits<int32_t>::max()});
  const auto as = [](Val x, DType type) { return x.builder->unary_to(ir::Op::bitcast, x, type); };
  return as((as(a, bits) & rest) | (as(b, bits) & sign), a.type());
}

}  // namespace

void register_copysign(OpRegistry& ops) {
  ops.elementwise("copysign")
      .summary("The magnitude of a with the sign of b, which zeros and NaNs have too.")
      .input("a", dtypes::floating)
      .input("b", dtypes::floating)
      .floats()
      .lower(lower_copysign)
      .partials({[](std::span<const Array> x, const Array&) {
                   return multiply(sign(x[0]), copysign(Array(Scalar(1.0), x[1].dtype()), x[1]));
                 },
                 nullptr})
      .signature("(a: scalar | array, b: scalar | array, /, *, stream: StreamOrDevice = None) -> array")
      .oracle("np.copysign(a, b)")
      .domain("(0.5, 3)")
      .sample("(2, 3), (2, 3)")
      .sample("[1.0, -1.0, 2.0], [-0.5, 0.5, -3.0]")
      .sample("(2, 3), (3,)")
      .sample("(2, 1), (1, 3)")
      .sample("(), (2,)")
      .sample("(0, 3), (3,)");
}

}  // namespace plait
