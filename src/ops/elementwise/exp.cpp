#include "ops/prelude.h"

namespace plait {

void register_exp(OpRegistry& ops) {
  ops.elementwise("exp")
      .summary("e to the power of a.")
      .input("a", dtypes::inexact)
      .floats()
      .lower([](Val a) { return exp(a); })
      .derivative([](const Array&, const Array& y) { return y; })
      .signature("(a: array, /, *, stream: StreamOrDevice = None) -> array")
      .method("(*, stream: StreamOrDevice = None) -> array")
      .oracle("np.exp(a)")
      .domain("(-3, 3)")
      .sample("(2, 3)")
      .sample("()")
      .sample("(0,)");
}

}  // namespace plait
