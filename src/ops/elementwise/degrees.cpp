#include "ops/prelude.h"

namespace plait {

void register_degrees(OpRegistry& ops) {
  ops.elementwise("degrees")
      .summary("Radians to degrees.")
      .input("a", dtypes::inexact)
      .floats()
      .lower([](Val a) { return a * 57.29577951308232; })
      .linear({57.29577951308232})
      .signature("(a: scalar | array, /, *, stream: StreamOrDevice = None) -> array")
      .oracle("np.degrees(a)")
      .domain("(-3, 3)")
      .sample("(2, 3)")
      .sample("()")
      .sample("(0,)");
}

}  // namespace plait
