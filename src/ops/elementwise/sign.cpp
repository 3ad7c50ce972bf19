#include "ops/prelude.h"

namespace plait {

void register_sign(OpRegistry& ops) {
  ops.elementwise("sign")
      .summary("-1, 0 or 1; for complex numbers a / |a|, or 0.")
      .input("a", dtypes::any)
      .lower([](Val a) { return sign(a); })
      .not_differentiable("constant almost everywhere")
      .signature("(a: array, /, *, stream: StreamOrDevice = None) -> array")
      .oracle("np.sign(a)")
      .domain("(-3, 3)")
      .sample("(2, 3)")
      .sample("()")
      .sample("(0,)");
}

}  // namespace plait
