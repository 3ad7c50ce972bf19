#include "ops/prelude.h"

namespace plait {

void register_signbit(OpRegistry& ops) {
  ops.elementwise("signbit")
      .summary("Whether the sign bit is set: of negative numbers, -0 and NaNs with a sign.")
      .input("a", dtypes::floating)
      .floats()
      .result(DType::bool_)
      .lower([](Val a) {
        const DType bits = a.type() == DType::float64 ? DType::int64 : DType::int32;
        return a.builder->unary_to(ir::Op::bitcast, a, bits) < 0;
      })
      .not_differentiable("the result is bool")
      .signature("(a: scalar | array, /, *, stream: StreamOrDevice = None) -> array")
      .oracle("np.signbit(a)")
      .domain("(-3, 3)")
      .sample("(2, 3)")
      .sample("[0.0, -0.0, -1.0, inf, -inf]")
      .sample("()")
      .sample("(0,)");
}

}  // namespace plait
