#include "ops/prelude.h"

namespace plait {

void register_logical_not(OpRegistry& ops) {
  ops.elementwise("logical_not")
      .summary("Whether each element is zero.")
      .input("a", dtypes::any)
      .result(DType::bool_)
      .lower([](Val a) { return a == 0; })
      .not_differentiable("the result is bool")
      .signature("(a: array, /, *, stream: StreamOrDevice = None) -> array")
      .oracle("np.logical_not(a)")
      .domain("(-3, 3)")
      .sample("(2, 3)")
      .sample("()")
      .sample("(0,)");
}

}  // namespace plait
