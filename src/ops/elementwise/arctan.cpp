#include "ops/prelude.h"

namespace plait {

void register_arctan(OpRegistry& ops) {
  ops.elementwise("arctan")
      .summary("Inverse tangent, in radians.")
      .input("a", dtypes::inexact)
      .floats()
      .lower([](Val a) { return atan(a); })
      .derivative([](const Array& x, const Array&) { return 1.0 / (1.0 + x * x); })
      .signature("(a: array, /, *, stream: StreamOrDevice = None) -> array")
      .alias("atan")
      .oracle("np.arctan(a)")
      .domain("(-3, 3)")
      .sample("(2, 3)")
      .sample("()")
      .sample("(0,)");
}

}  // namespace plait
