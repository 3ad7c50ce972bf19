#include "ops/prelude.h"

namespace plait {

void register_tan(OpRegistry& ops) {
  ops.elementwise("tan")
      .summary("Tangent; a in radians.")
      .input("a", dtypes::inexact)
      .floats()
      .lower([](Val a) { return tan(a); })
      .derivative([](const Array&, const Array& y) { return 1.0 + y * y; })
      .signature("(a: array, /, *, stream: StreamOrDevice = None) -> array")
      .oracle("np.tan(a)")
      .domain("(-1.2, 1.2)")
      .sample("(2, 3)")
      .sample("()")
      .sample("(0,)");
}

}  // namespace plait
