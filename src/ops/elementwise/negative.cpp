#include "ops/prelude.h"

namespace plait {

void register_negative(OpRegistry& ops) {
  ops.elementwise("negative")
      .summary("-a.")
      .input("a", dtypes::numeric)
      .lower([](Val a) { return -a; })
      .linear({-1})
      .signature("(a: array, /, *, stream: StreamOrDevice = None) -> array")
      .oracle("np.negative(a)")
      .domain("(-3, 3)")
      .sample("(2, 3)")
      .sample("()")
      .sample("(0,)");
}

}  // namespace plait
