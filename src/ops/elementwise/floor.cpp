#include "ops/prelude.h"

namespace plait {

void register_floor(OpRegistry& ops) {
  ops.elementwise("floor")
      .summary("Largest integer not above a.")
      .input("a", dtypes::real)
      .lower([](Val a) { return is_floating(a.type()) ? floor(a) : a; })
      .not_differentiable("constant almost everywhere")
      .signature("(a: array, /, *, stream: StreamOrDevice = None) -> array")
      .oracle("np.floor(a)")
      .domain("(-3, 3)")
      .sample("(2, 3)")
      .sample("()")
      .sample("(0,)");
}

}  // namespace plait
