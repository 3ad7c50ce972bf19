#include "ops/prelude.h"

namespace plait {

void register_power(OpRegistry& ops) {
  ops.elementwise("power")
      .summary("a to the power of b.")
      .input("a", dtypes::any)
      .input("b", dtypes::any)
      .lower([](Val a, Val b) { return pow(a, b); })
      .partials({[](std::span<const Array> x, const Array&) -> Array {
                   // a ** 0 does not change with a, not even at 0, where a ** -1 has no value.
                   return x[1] * power(x[0], where(x[1] == 0.0, ones_like(x[1]), x[1] - 1.0));
                 },
                 [](std::span<const Array> x, const Array& y) -> Array {
                   return y * log(where(x[0] == 0.0, ones_like(x[0]), x[0]));
                 }})
      .signature("(a: scalar | array, b: scalar | array, /, *, stream: StreamOrDevice = None) -> array")
      .alias("pow")
      .oracle("np.power(a, b)")
      .domain("(0.5, 3)")
      .sample("(2, 3), (2, 3)")
      .sample("(2, 3), (3,)")
      .sample("(2, 1), (1, 3)")
      .sample("(), (2,)")
      .sample("(0, 3), (3,)");
}

}  // namespace plait
