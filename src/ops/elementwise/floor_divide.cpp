#include "ops/prelude.h"

namespace plait {

void register_floor_divide(OpRegistry& ops) {
  ops.elementwise("floor_divide")
      .summary("a / b rounded to minus infinity; integer division by zero gives 0.")
      .input("a", dtypes::real)
      .input("b", dtypes::real)
      .lower([](Val a, Val b) { return a.type() == DType::bool_ ? a & b : floor_div(a, b); })
      .not_differentiable("constant almost everywhere")
      .signature("(a: scalar | array, b: scalar | array, stream: StreamOrDevice = None) -> array")
      .oracle("np.floor_divide(a, b)")
      .domain("(0.5, 3)")
      .sample("(2, 3), (2, 3)")
      .sample("(2, 3), (3,)")
      .sample("(2, 1), (1, 3)")
      .sample("(), (2,)")
      .sample("(0, 3), (3,)");
}

}  // namespace plait
