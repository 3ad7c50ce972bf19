#include "ops/prelude.h"

namespace plait {

void register_divide(OpRegistry& ops) {
  ops.elementwise("divide")
      .summary("a / b, always in a floating dtype.")
      .input("a", dtypes::inexact)
      .input("b", dtypes::inexact)
      .floats()
      .lower([](Val a, Val b) { return a / b; })
      .partials({[](std::span<const Array> x, const Array&) -> Array { return 1.0 / x[1]; },
                 [](std::span<const Array> x, const Array& y) -> Array { return -(y / x[1]); }})
      .signature("(a: scalar | array, b: scalar | array, stream: StreamOrDevice = None) -> array")
      .oracle("np.divide(a, b)")
      .domain("(0.5, 3)")
      .sample("(2, 3), (2, 3)")
      .sample("(2, 3), (3,)")
      .sample("(2, 1), (1, 3)")
      .sample("(), (2,)")
      .sample("(0, 3), (3,)");
}

}  // namespace plait
