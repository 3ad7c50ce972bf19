#include "ops/prelude.h"

namespace plait {

void register_sigmoid(OpRegistry& ops) {
  ops.elementwise("sigmoid")
      .summary("1 / (1 + exp(-a)), between 0 and 1.")
      .input("a", dtypes::floating)
      .floats()
      .lower([](Val a) {
        const Val e = exp(-abs(a));  // at most 1: neither side overflows
        const Val q = e / (1.0 + e);
        // e - e q is q as well, but for the rounding of 1 + e.
        return select(a < 0.0, fma(-e, q, e), 1.0 - q);
      })
      .derivative([](const Array&, const Array& y) { return y * (1.0 - y); })
      .signature("(a: array, /, *, stream: StreamOrDevice = None) -> array")
      .oracle("scipy.special.expit(a)")
      .domain("(-3, 3)")
      .sample("(2, 3)")
      .sample("()")
      .sample("(0,)");
}

}  // namespace plait
