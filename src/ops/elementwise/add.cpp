#include "ops/prelude.h"

namespace plait {

void register_add(OpRegistry& ops) {
  ops.elementwise("add")
      .summary("a + b.")
      .input("a", dtypes::any)
      .input("b", dtypes::any)
      .lower([](Val a, Val b) { return a + b; })
      .linear({1, 1})
      .signature("(a: scalar | array, b: scalar | array, stream: StreamOrDevice = None) -> array")
      .oracle("np.add(a, b)")
      .domain("(-3, 3)")
      .sample("(2, 3), (2, 3)")
      .sample("(2, 3), (3,)")
      .sample("(2, 1), (1, 3)")
      .sample("(), (2,)")
      .sample("(0, 3), (3,)");
}

}  // namespace plait
