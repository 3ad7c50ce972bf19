#include "ops/prelude.h"

namespace plait {

void register_arctanh(OpRegistry& ops) {
  ops.elementwise("arctanh")
      .summary("Inverse hyperbolic tangent.")
      .input("a", dtypes::inexact)
      .floats()
      .lower([](Val a) { return atanh(a); })
      .derivative([](const Array& x, const Array&) { return 1.0 / (1.0 - x * x); })
      .signature("(a: array, /, *, stream: StreamOrDevice = None) -> array")
      .alias("atanh")
      .oracle("np.arctanh(a)")
      .domain("(-0.9, 0.9)")
      .sample("(2, 3)")
      .sample("()")
      .sample("(0,)");
}

}  // namespace plait
