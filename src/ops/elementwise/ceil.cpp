#include "ops/prelude.h"

namespace plait {

void register_ceil(OpRegistry& ops) {
  ops.elementwise("ceil")
      .summary("Smallest integer not below a.")
      .input("a", dtypes::real)
      .lower([](Val a) { return is_floating(a.type()) ? ceil(a) : a; })
      .not_differentiable("constant almost everywhere")
      .signature("(a: array, /, *, stream: StreamOrDevice = None) -> array")
      .oracle("np.ceil(a)")
      .domain("(-3, 3)")
      .sample("(2, 3)")
      .sample("()")
      .sample("(0,)");
}

}  // namespace plait
