#include "ops/prelude.h"

namespace plait {

void register_logical_xor(OpRegistry& ops) {
  ops.elementwise("logical_xor")
      .summary("One is zero and the other is not.")
      .input("a", dtypes::any)
      .input("b", dtypes::any)
      .result(DType::bool_)
      .lower([](Val a, Val b) { return bit_xor(a != 0, b != 0); })
      .not_differentiable("the result is bool")
      .signature("(a: scalar | array, b: scalar | array, /, *, stream: StreamOrDevice = None) -> array")
      .oracle("np.logical_xor(a, b)")
      .domain("(-3, 3)")
      .sample("(2, 3), (2, 3)")
      .sample("(2, 3), (3,)")
      .sample("(2, 1), (1, 3)")
      .sample("(), (2,)")
      .sample("(0, 3), (3,)");
}

}  // namespace plait
