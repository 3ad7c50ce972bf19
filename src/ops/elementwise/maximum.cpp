#include "ops/prelude.h"

namespace plait {

void register_maximum(OpRegistry& ops) {
  ops.elementwise("maximum")
      .summary("The larger of a and b; NaN wins.")
      .input("a", dtypes::any)
      .input("b", dtypes::any)
      .lower([](Val a, Val b) { return max(a, b); })
      // From the result, which the next operation keeps anyway: beside a number, as in relu, the operand need not be kept.
      .pieces(
          {[](const Array& g, std::span<const Array> x, const Array& y) { return where(y > x[1], g, zeros_like(g)); },
           [](const Array& g, std::span<const Array> x, const Array& y) { return where(y <= x[1], g, zeros_like(g)); }})
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
