#include "ops/prelude.h"

namespace plait {

void register_radians(OpRegistry& ops) {
  ops.elementwise("radians")
      .summary("Degrees to radians.")
      .input("a", dtypes::inexact)
      .floats()
      .lower([](Val a) { return a * 0.017453292519943295; })
      .linear({0.017453292519943295})
      .signature("(a: scalar | array, /, *, stream: StreamOrDevice = None) -> array")
      .oracle("np.radians(a)")
      .domain("(-3, 3)")
      .sample("(2, 3)")
      .sample("()")
      .sample("(0,)");
}

}  // namespace plait
