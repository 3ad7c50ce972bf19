#include "ops/prelude.h"

namespace plait {

void register_arctan2(OpRegistry& ops) {
  ops.elementwise("arctan2")
      .summary("Angle of the point (b, a), in radians between -pi and pi.")
      .input("a", dtypes::floating)
      .input("b", dtypes::floating)
      .floats()
      .lower([](Val a, Val b) { return atan2(a, b); })
      .partials({[](std::span<const Array> x, const Array&) -> Array { return x[1] / (x[0] * x[0] + x[1] * x[1]); },
                 [](std::span<const Array> x, const Array&) -> Array { return -(x[0] / (x[0] * x[0] + x[1] * x[1])); }})
      .signature("(a: scalar | array, b: scalar | array, /, *, stream: StreamOrDevice = None) -> array")
      .alias("atan2")
      .oracle("np.arctan2(a, b)")
      .domain("(0.5, 3)")
      .sample("(2, 3), (2, 3)")
      .sample("(2, 3), (3,)")
      .sample("(2, 1), (1, 3)")
      .sample("(), (2,)")
      .sample("(0, 3), (3,)");
}

}  // namespace plait
