#include "ops/prelude.h"

namespace plait {

void register_reciprocal(OpRegistry& ops) {
  ops.elementwise("reciprocal")
      .summary("1 / a.")
      .input("a", dtypes::inexact)
      .floats()
      .lower([](Val a) { return 1.0 / a; })
      .derivative([](const Array&, const Array& y) { return -(y * y); })
      .signature("(a: array, /, *, stream: StreamOrDevice = None) -> array")
      .method("(*, stream: StreamOrDevice = None) -> array")
      .oracle("1 / a")
      .domain("(0.5, 3)")
      .sample("(2, 3)")
      .sample("()")
      .sample("(0,)");
}

}  // namespace plait
