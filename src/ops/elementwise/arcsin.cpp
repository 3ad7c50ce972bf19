#include "ops/prelude.h"

namespace plait {

void register_arcsin(OpRegistry& ops) {
  ops.elementwise("arcsin")
      .summary("Inverse sine, in radians.")
      .input("a", dtypes::inexact)
      .floats()
      .lower([](Val a) { return asin(a); })
      .derivative([](const Array& x, const Array&) { return rsqrt(1.0 - x * x); })
      .signature("(a: array, /, *, stream: StreamOrDevice = None) -> array")
      .alias("asin")
      .oracle("np.arcsin(a)")
      .domain("(-0.9, 0.9)")
      .sample("(2, 3)")
      .sample("()")
      .sample("(0,)");
}

}  // namespace plait
