#include "ops/prelude.h"

namespace plait {

void register_positive(OpRegistry& ops) {
  ops.elementwise("positive")
      .summary("a itself.")
      .input("a", dtypes::any)
      .lower([](Val a) { return a; })
      .linear({1})
      .signature("(a: array, /, *, stream: StreamOrDevice = None) -> array")
      .oracle("+a")
      .domain("(-3, 3)")
      .sample("(2, 3)")
      .sample("()")
      .sample("(0,)");
}

}  // namespace plait
