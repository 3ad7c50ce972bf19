#include "ops/prelude.h"

namespace plait {

void register_expm1(OpRegistry& ops) {
  ops.elementwise("expm1")
      .summary("exp(a) - 1, accurate near 0.")
      .input("a", dtypes::inexact)
      .floats()
      .lower([](Val a) { return expm1(a); })
      .derivative([](const Array&, const Array& y) { return y + 1.0; })
      .signature("(a: array, /, *, stream: StreamOrDevice = None) -> array")
      .oracle("np.expm1(a)")
      .domain("(-3, 3)")
      .sample("(2, 3)")
      .sample("()")
      .sample("(0,)");
}

}  // namespace plait
