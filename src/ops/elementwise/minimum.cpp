#include "ops/prelude.h"

namespace plait {

void register_minimum(OpRegistry& ops) {
  ops.elementwise("minimum")
      .summary("The smaller of a and b; NaN wins.")
      .input("a", dtypes::any)
      .input("b", dtypes::any)
      .lower([](Val a, Val b) { return min(a, b); })
      .partials({[](std::span<const Array> x, const Array& y) -> Array { return astype(x[0] < x[1], y.dtype()); },
                 [](std::span<const Array> x, const Array& y) -> Array { return astype(x[0] >= x[1], y.dtype()); }})
      .signature("(a: scalar | array, b: scalar | array, /, *, stream: StreamOrDevice = None) -> array")
      .oracle("np.minimum(a, b)")
      .domain("(-3, 3)")
      .sample("(2, 3), (2, 3)")
      .sample("(2, 3), (3,)")
      .sample("(2, 1), (1, 3)")
      .sample("(), (2,)")
      .sample("(0, 3), (3,)");
}

}  // namespace plait
