#include "ops/prelude.h"

namespace plait {

void register_stop_gradient(OpRegistry& ops) {
  ops.elementwise("stop_gradient")
      .summary("a itself, through which no gradient passes.")
      .input("a")
      .lower([](Val a) { return a; })
      .not_differentiable("stopping the gradient is what it is for")
      .signature("(a: array, /, *, stream: StreamOrDevice = None) -> array")
      .oracle("a")
      .sample("(2, 3)");
}

}  // namespace plait
