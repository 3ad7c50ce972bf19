#include "ops/prelude.h"

namespace plait {

void register_square(OpRegistry& ops) {
  ops.elementwise("square")
      .summary("a * a.")
      .input("a", dtypes::any)
      .lower([](Val a) { return a * a; })
      .derivative([](const Array& x, const Array&) { return 2.0 * x; })
      .signature("(a: array, /, *, stream: StreamOrDevice = None) -> array")
      .method("(*, stream: StreamOrDevice = None) -> array")
      .oracle("np.square(a)")
      .domain("(-3, 3)")
      .sample("(2, 3)")
      .sample("()")
      .sample("(0,)");
}

}  // namespace plait
