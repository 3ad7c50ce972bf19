#include "ops/prelude.h"

namespace plait {

void register_sqrt(OpRegistry& ops) {
  ops.elementwise("sqrt")
      .summary("Square root.")
      .input("a", dtypes::inexact)
      .floats()
      .lower([](Val a) { return sqrt(a); })
      .derivative([](const Array&, const Array& y) { return 0.5 / y; })
      .signature("(a: array, /, *, stream: StreamOrDevice = None) -> array")
      .method("(*, stream: StreamOrDevice = None) -> array")
      .oracle("np.sqrt(a)")
      .domain("(0.1, 4)")
      .sample("(2, 3)")
      .sample("()")
      .sample("(0,)");
}

}  // namespace plait
