#include "ops/prelude.h"

namespace plait {

void register_arccosh(OpRegistry& ops) {
  ops.elementwise("arccosh")
      .summary("Inverse hyperbolic cosine.")
      .input("a", dtypes::inexact)
      .floats()
      .lower([](Val a) { return acosh(a); })
      .derivative([](const Array& x, const Array&) { return rsqrt(x * x - 1.0); })
      .signature("(a: array, /, *, stream: StreamOrDevice = None) -> array")
      .alias("acosh")
      .oracle("np.arccosh(a)")
      .domain("(1.1, 4)")
      .sample("(2, 3)")
      .sample("()")
      .sample("(0,)");
}

}  // namespace plait
