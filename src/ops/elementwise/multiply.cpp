#include "ops/prelude.h"

namespace plait {

void register_multiply(OpRegistry& ops) {
  ops.elementwise("multiply")
      .summary("a * b.")
      .input("a", dtypes::any)
      .input("b", dtypes::any)
      .lower([](Val a, Val b) { return a * b; })
      .partials({[](std::span<const Array> x, const Array&) -> Array { return x[1]; },
                 [](std::span<const Array> x, const Array&) -> Array { return x[0]; }})
      .signature("(a: scalar | array, b: scalar | array, stream: StreamOrDevice = None) -> array")
      .oracle("np.multiply(a, b)")
      .domain("(-3, 3)")
      .sample("(2, 3), (2, 3)")
      .sample("(2, 3), (3,)")
      .sample("(2, 1), (1, 3)")
      .sample("(), (2,)")
      .sample("(0, 3), (3,)");
}

}  // namespace plait
