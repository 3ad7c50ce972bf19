#include "ops/prelude.h"

namespace plait {

void register_log(OpRegistry& ops) {
  ops.elementwise("log")
      .summary("Natural logarithm.")
      .input("a", dtypes::inexact)
      .floats()
      .lower([](Val a) { return log(a); })
      .derivative([](const Array& x, const Array&) { return 1.0 / x; })
      .signature("(a: array, /, *, stream: StreamOrDevice = None) -> array")
      .method("(*, stream: StreamOrDevice = None) -> array")
      .oracle("np.log(a)")
      .domain("(0.1, 4)")
      .sample("(2, 3)")
      .sample("()")
      .sample("(0,)");
}

}  // namespace plait
