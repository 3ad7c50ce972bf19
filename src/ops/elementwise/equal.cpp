#include "ops/prelude.h"

namespace plait {

void register_equal(OpRegistry& ops) {
  ops.elementwise("equal")
      .summary("a equals b; NaN equals nothing.")
      .input("a", dtypes::any)
      .input("b", dtypes::any)
      .result(DType::bool_)
      .lower([](Val a, Val b) { return a == b; })
      .not_differentiable("the result is bool")
      .signature("(a: scalar | array, b: scalar | array, stream: StreamOrDevice = None) -> array")
      .oracle("np.equal(a, b)")
      .domain("(-3, 3)")
      .sample("(2, 3), (2, 3)")
      .sample("(2, 3), (3,)")
      .sample("(2, 1), (1, 3)")
      .sample("(), (2,)")
      .sample("(0, 3), (3,)");
}

}  // namespace plait
