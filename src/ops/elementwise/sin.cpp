#include "ops/prelude.h"

namespace plait {

void register_sin(OpRegistry& ops) {
  ops.elementwise("sin")
      .summary("Sine; a in radians.")
      .input("a", dtypes::inexact)
      .floats()
      .lower([](Val a) { return sin(a); })
      .derivative([](const Array& x, const Array&) { return cos(x); })
      .signature("(a: array, /, *, stream: StreamOrDevice = None) -> array")
      .method("(*, stream: StreamOrDevice = None) -> array")
      .oracle("np.sin(a)")
      .domain("(-3, 3)")
      .sample("(2, 3)")
      .sample("()")
      .sample("(0,)");
}

}  // namespace plait
