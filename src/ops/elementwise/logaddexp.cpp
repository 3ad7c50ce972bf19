#include "ops/prelude.h"

namespace plait {

void register_logaddexp(OpRegistry& ops) {
  ops.elementwise("logaddexp")
      .summary("log(exp(a) + exp(b)) without overflow.")
      .input("a", dtypes::floating)
      .input("b", dtypes::floating)
      .floats()
      .lower([](Val a, Val b) {
        const Val top = max(a, b);
        const Val gap = abs(a - b);
        return select(gap != gap, top, top + log1p(exp(-gap)));
      })
      .partials({[](std::span<const Array> x, const Array& y) -> Array { return exp(x[0] - y); },
                 [](std::span<const Array> x, const Array& y) -> Array { return exp(x[1] - y); }})
      .signature("(a: scalar | array, b: scalar | array, /, *, stream: StreamOrDevice = None) -> array")
      .oracle("np.logaddexp(a, b)")
      .domain("(-3, 3)")
      .sample("(2, 3), (2, 3)")
      .sample("(2, 3), (3,)")
      .sample("(2, 1), (1, 3)")
      .sample("(), (2,)")
      .sample("(0, 3), (3,)");
}

}  // namespace plait
