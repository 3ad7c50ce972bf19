#include "ops/prelude.h"

namespace plait {

void register_cos(OpRegistry& ops) {
  ops.elementwise("cos")
      .summary("Cosine; a in radians.")
      .input("a", dtypes::inexact)
      .floats()
      .lower([](Val a) { return cos(a); })
      .derivative([](const Array& x, const Array&) { return -sin(x); })
      .signature("(a: array, /, *, stream: StreamOrDevice = None) -> array")
      .method("(*, stream: StreamOrDevice = None) -> array")
      .oracle("np.cos(a)")
      .domain("(-3, 3)")
      .sample("(2, 3)")
      .sample("()")
      .sample("(0,)");
}

}  // namespace plait
