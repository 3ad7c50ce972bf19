#include "ops/prelude.h"

namespace plait {

void register_sinh(OpRegistry& ops) {
  ops.elementwise("sinh")
      .summary("Hyperbolic sine.")
      .input("a", dtypes::inexact)
      .floats()
      .lower([](Val a) { return sinh(a); })
      .derivative([](const Array& x, const Array&) { return cosh(x); })
      .signature("(a: array, /, *, stream: StreamOrDevice = None) -> array")
      .oracle("np.sinh(a)")
      .domain("(-3, 3)")
      .sample("(2, 3)")
      .sample("()")
      .sample("(0,)");
}

}  // namespace plait
