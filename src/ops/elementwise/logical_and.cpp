#include "ops/prelude.h"

namespace plait {

void register_logical_and(OpRegistry& ops) {
  ops.elementwise("logical_and")
      .summary("Both are non-zero.")
      .input("a", dtypes::any)
      .input("b", dtypes::any)
      .result(DType::bool_)
      .lower([](Val a, Val b) { return (a != 0) & (b != 0); })
      .not_differentiable("the result is bool")
      .signature("(a: array, b: array, /, *, stream: StreamOrDevice = None) -> array")
      .oracle("np.logical_and(a, b)")
      .domain("(-3, 3)")
      .sample("(2, 3), (2, 3)")
      .sample("(2, 3), (3,)")
      .sample("(2, 1), (1, 3)")
      .sample("(), (2,)")
      .sample("(0, 3), (3,)");
}

}  // namespace plait
