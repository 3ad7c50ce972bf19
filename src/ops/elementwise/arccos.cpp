#include "ops/prelude.h"

namespace plait {

void register_arccos(OpRegistry& ops) {
  ops.elementwise("arccos")
      .summary("Inverse cosine, in radians.")
      .input("a", dtypes::inexact)
      .floats()
      .lower([](Val a) { return acos(a); })
      .derivative([](const Array& x, const Array&) { return -rsqrt(1.0 - x * x); })
      .signature("(a: array, /, *, stream: StreamOrDevice = None) -> array")
      .alias("acos")
      .oracle("np.arccos(a)")
      .domain("(-0.9, 0.9)")
      .sample("(2, 3)")
      .sample("()")
      .sample("(0,)");
}

}  // namespace plait
