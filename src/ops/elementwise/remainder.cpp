#include "ops/prelude.h"

namespace plait {

void register_remainder(OpRegistry& ops) {
  ops.elementwise("remainder")
      .summary("a - b * floor(a / b): the sign of b; an integer remainder by zero is 0.")
      .input("a", dtypes::real)
      .input("b", dtypes::real)
      .lower([](Val a, Val b) { return a.type() == DType::bool_ ? a != a : rem(a, b); })
      .partials({[](std::span<const Array> x, const Array&) -> Array { return ones_like(x[0]); },
                 [](std::span<const Array> x, const Array&) -> Array { return -floor(x[0] / x[1]); }})
      .signature("(a: scalar | array, b: scalar | array, stream: StreamOrDevice = None) -> array")
      .oracle("np.remainder(a, b)")
      .domain("(0.5, 3)")
      .sample("(2, 3), (2, 3)")
      .sample("(2, 3), (3,)")
      .sample("(2, 1), (1, 3)")
      .sample("(), (2,)")
      .sample("(0, 3), (3,)");
}

}  // namespace plait
