#include "ops/prelude.h"

namespace plait {

void register_tanh(OpRegistry& ops) {
  ops.elementwise("tanh")
      .summary("Hyperbolic tangent.")
      .input("a", dtypes::inexact)
      .floats()
      .lower([](Val a) { return tanh(a); })
      .derivative([](const Array&, const Array& y) { return 1.0 - y * y; })
      .signature("(a: array, /, *, stream: StreamOrDevice = None) -> array")
      .oracle("np.tanh(a)")
      .domain("(-3, 3)")
      .sample("(2, 3)")
      .sample("()")
      .sample("(0,)");
}

}  // namespace plait
