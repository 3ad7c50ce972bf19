#include "ops/prelude.h"

namespace plait {

void register_log10(OpRegistry& ops) {
  ops.elementwise("log10")
      .summary("Logarithm to base 10.")
      .input("a", dtypes::inexact)
      .floats()
      .lower([](Val a) { return log10(a); })
      .derivative([](const Array& x, const Array&) { return 1.0 / (x * 2.302585092994046); })
      .signature("(a: array, /, *, stream: StreamOrDevice = None) -> array")
      .method("(*, stream: StreamOrDevice = None) -> array")
      .oracle("np.log10(a)")
      .domain("(0.1, 4)")
      .sample("(2, 3)")
      .sample("()")
      .sample("(0,)");
}

}  // namespace plait
