#include "ops/prelude.h"

namespace plait {

void register_log1p(OpRegistry& ops) {
  ops.elementwise("log1p")
      .summary("log(1 + a), accurate near 0.")
      .input("a", dtypes::inexact)
      .floats()
      .lower([](Val a) { return log1p(a); })
      .derivative([](const Array& x, const Array&) { return 1.0 / (1.0 + x); })
      .signature("(a: array, /, *, stream: StreamOrDevice = None) -> array")
      .method("(*, stream: StreamOrDevice = None) -> array")
      .oracle("np.log1p(a)")
      .domain("(-0.9, 4)")
      .sample("(2, 3)")
      .sample("()")
      .sample("(0,)");
}

}  // namespace plait
