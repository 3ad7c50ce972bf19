#include "ops/prelude.h"

namespace plait {

void register_arcsinh(OpRegistry& ops) {
  ops.elementwise("arcsinh")
      .summary("Inverse hyperbolic sine.")
      .input("a", dtypes::inexact)
      .floats()
      .lower([](Val a) { return asinh(a); })
      .derivative([](const Array& x, const Array&) { return rsqrt(x * x + 1.0); })
      .signature("(a: array, /, *, stream: StreamOrDevice = None) -> array")
      .alias("asinh")
      .oracle("np.arcsinh(a)")
      .domain("(-3, 3)")
      .sample("(2, 3)")
      .sample("()")
      .sample("(0,)");
}

}  // namespace plait
