#include "ops/prelude.h"

namespace plait {

void register_cosh(OpRegistry& ops) {
  ops.elementwise("cosh")
      .summary("Hyperbolic cosine.")
      .input("a", dtypes::inexact)
      .floats()
      .lower([](Val a) { return cosh(a); })
      .derivative([](const Array& x, const Array&) { return sinh(x); })
      .signature("(a: array, /, *, stream: StreamOrDevice = None) -> array")
      .oracle("np.cosh(a)")
      .domain("(-3, 3)")
      .sample("(2, 3)")
      .sample("()")
      .sample("(0,)");
}

}  // namespace plait
