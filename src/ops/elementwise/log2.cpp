#include "ops/prelude.h"

namespace plait {

void register_log2(OpRegistry& ops) {
  ops.elementwise("log2")
      .summary("Logarithm to base 2.")
      .input("a", dtypes::inexact)
      .floats()
      .lower([](Val a) { return log2(a); })
      .derivative([](const Array& x, const Array&) { return 1.0 / (x * 0.6931471805599453); })
      .signature("(a: array, /, *, stream: StreamOrDevice = None) -> array")
      .method("(*, stream: StreamOrDevice = None) -> array")
      .oracle("np.log2(a)")
      .domain("(0.1, 4)")
      .sample("(2, 3)")
      .sample("()")
      .sample("(0,)");
}

}  // namespace plait
