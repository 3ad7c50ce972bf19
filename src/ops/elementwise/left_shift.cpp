#include "ops/elementwise/shift.h"

namespace plait {

void register_left_shift(OpRegistry& ops) {
  ops.elementwise("left_shift")
      .summary("a shifted left by b bits; 0 when b is the width or more. The dtype of the operands, uint8 for bool.")
      .input("a", dtypes::boolean | dtypes::integer)
      .input("b", dtypes::boolean | dtypes::integer)
      .result(shifted_dtype)
      .lower([](Val a, Val b) { return shl(shiftable(a), shiftable(b)); })
      .not_differentiable("integers have no gradient")
      .signature("(a: scalar | array, b: scalar | array, stream: StreamOrDevice = None) -> array")
      .alias("bitwise_left_shift")
      .oracle("np.left_shift(a, b)")
      .domain("(0, 5)")
      .sample("(2, 3), (2, 3)")
      .sample("(2, 3), (3,)")
      .sample("(2, 1), (1, 3)")
      .sample("(), (2,)")
      .sample("(0, 3), (3,)");
}

}  // namespace plait
