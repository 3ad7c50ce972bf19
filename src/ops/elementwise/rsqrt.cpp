#include "ops/prelude.h"

namespace plait {

void register_rsqrt(OpRegistry& ops) {
  ops.elementwise("rsqrt")
      .summary("1 / sqrt(a).")
      .input("a", dtypes::inexact)
      .floats()
      .lower([](Val a) { return rsqrt(a); })
      .derivative([](const Array&, const Array& y) { return -0.5 * y * y * y; })
      .signature("(a: array, /, *, stream: StreamOrDevice = None) -> array")
      .method("(*, stream: StreamOrDevice = None) -> array")
      .oracle("1 / np.sqrt(a)")
      .domain("(0.1, 4)")
      .sample("(2, 3)")
      .sample("()")
      .sample("(0,)");
}

}  // namespace plait
