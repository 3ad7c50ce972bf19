#include "ops/prelude.h"

namespace plait {

void register_isnan(OpRegistry& ops) {
  ops.elementwise("isnan")
      .summary("Whether each element is not a number.")
      .input("a", dtypes::any)
      .result(DType::bool_)
      .lower([](Val a) { return a != a; })
      .not_differentiable("the result is bool")
      .signature("(a: array, stream: StreamOrDevice = None) -> array")
      .oracle("np.isnan(a)")
      .domain("(-3, 3)")
      .sample("(2, 3)")
      .sample("()")
      .sample("(0,)");
}

}  // namespace plait
