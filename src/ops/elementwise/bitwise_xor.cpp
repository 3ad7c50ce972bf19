#include "ops/prelude.h"

namespace plait {

void register_bitwise_xor(OpRegistry& ops) {
  ops.elementwise("bitwise_xor")
      .summary("Bits that differ; logical exclusive or for bool.")
      .input("a", dtypes::boolean | dtypes::integer)
      .input("b", dtypes::boolean | dtypes::integer)
      .lower([](Val a, Val b) { return bit_xor(a, b); })
      .not_differentiable("integers have no gradient")
      .signature("(a: scalar | array, b: scalar | array, stream: StreamOrDevice = None) -> array")
      .oracle("np.bitwise_xor(a, b)")
      .domain("(-3, 3)")
      .sample("(2, 3), (2, 3)")
      .sample("(2, 3), (3,)")
      .sample("(2, 1), (1, 3)")
      .sample("(), (2,)")
      .sample("(0, 3), (3,)");
}

}  // namespace plait
