#include "ops/prelude.h"

namespace plait {

void register_bitwise_and(OpRegistry& ops) {
  ops.elementwise("bitwise_and")
      .summary("Bits set in both; logical and for bool.")
      .input("a", dtypes::boolean | dtypes::integer)
      .input("b", dtypes::boolean | dtypes::integer)
      .lower([](Val a, Val b) { return a & b; })
      .not_differentiable("integers have no gradient")
      .signature("(a: scalar | array, b: scalar | array, stream: StreamOrDevice = None) -> array")
      .oracle("np.bitwise_and(a, b)")
      .domain("(-3, 3)")
      .sample("(2, 3), (2, 3)")
      .sample("(2, 3), (3,)")
      .sample("(2, 1), (1, 3)")
      .sample("(), (2,)")
      .sample("(0, 3), (3,)");
}

}  // namespace plait
