#include "ops/prelude.h"

namespace plait {

void register_erf(OpRegistry& ops) {
  ops.elementwise("erf")
      .summary("Error function: 2 / sqrt(pi) times the integral of exp(-t*t) from 0 to a.")
      .input("a", dtypes::floating)
      .floats()
      .lower([](Val a) { return erf(a); })
      .derivative([](const Array& x, const Array&) { return 1.1283791670955126 * exp(-(x * x)); })
      .signature("(a: array, /, *, stream: StreamOrDevice = None) -> array")
      .oracle("scipy.special.erf(a)")
      .domain("(-3, 3)")
      .sample("(2, 3)")
      .sample("()")
      .sample("(0,)");
}

}  // namespace plait
