#include "ops/prelude.h"

namespace plait {

void register_bitwise_invert(OpRegistry& ops) {
  ops.elementwise("bitwise_invert")
      .summary("Every bit inverted; logical not for bool.")
      .input("a", dtypes::boolean | dtypes::integer)
      .lower([](Val a) { return bit_not(a); })
      .not_differentiable("integers have no gradient")
      .signature("(a: scalar | array, stream: StreamOrDevice = None) -> array")
      .oracle("np.invert(a)")
      .domain("(-3, 3)")
      .sample("(2, 3)")
      .sample("()")
      .sample("(0,)");
}

}  // namespace plait
