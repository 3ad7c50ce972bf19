#include "ops/prelude.h"

namespace plait {

void register_maximum(OpRegistry& ops) {
  ops.elementwise("maximum")
      .summary("The larger of a and b; NaN wins.")
      .input("a", dtypes::any)
      .input("b", dtypes::any)
      .lower([](Val a, Val b) { return max(a, b); })
      // From the result, which the next operation keeps anyway: a number beside it, as in relu, costs no memory.
      .partials({[](std::span<const Array> x, const Array& y) -> Array { return astype(y > x[1], y.dtype()); },
                 [](std::span<const Array> x, const Array& y) -> Array { return astype(y <= x[1], y.dtype()); }})
      .signature("(a: scalar | array, b: scalar | array, /, *, stream: StreamOrDevice = None) -> array")
      .oracle("np.maximum(a, b)")
      .domain("(-3, 3)")
      .sample("(2, 3), (2, 3)")
      .sample("(2, 3), (3,)")
      .sample("(2, 1), (1, 3)")
      .sample("(), (2,)")
      .sample("(0, 3), (3,)");
}

}  // namespace plait
