#include "ops/prelude.h"

namespace plait {

void register_sigmoid(OpRegistry& ops) {
  ops.elementwise("sigmoid")
      .summary("1 / (1 + exp(-a)), between 0 and 1.")
      .input("a", dtypes::floating)
      .floats()
      .lower([](Val a) { return 1.0 / (1.0 + exp(-a)); })
      .derivative([](const Array&, const Array& y) { return y * (1.0 - y); })
      .signature("(a: array, /, *, stream: StreamOrDevice = None) -> array")
      .oracle("scipy.special.expit(a)")
      .domain("(-3, 3)")
      .sample("(2, 3)")
      .sample("()")
      .sample("(0,)");
}

}  // namespace plait
