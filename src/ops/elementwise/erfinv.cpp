#include "ops/prelude.h"

namespace plait {

void register_erfinv(OpRegistry& ops) {
  ops.elementwise("erfinv")
      .summary("Inverse of erf, for a between -1 and 1.")
      .input("a", dtypes::floating)
      .floats()
      .lower([](Val a) { return erfinv(a); })
      .derivative([](const Array&, const Array& y) { return 0.8862269254527580 * exp(y * y); })
      .signature("(a: array, /, *, stream: StreamOrDevice = None) -> array")
      .oracle("scipy.special.erfinv(a)")
      .domain("(-0.9, 0.9)")
      .sample("(2, 3)")
      .sample("()")
      .sample("(0,)");
}

}  // namespace plait
