#include "ops/prelude.h"

namespace plait {

void register_trunc(OpRegistry& ops) {
  ops.elementwise("trunc")
      .summary("Integer part, towards zero.")
      .input("a", dtypes::real)
      .lower([](Val a) { return is_floating(a.type()) ? trunc(a) : a; })
      .not_differentiable("constant almost everywhere")
      .signature("(a: array, /, *, stream: StreamOrDevice = None) -> array")
      .oracle("np.trunc(a)")
      .domain("(-3, 3)")
      .sample("(2, 3)")
      .sample("()")
      .sample("(0,)");
}

}  // namespace plait
