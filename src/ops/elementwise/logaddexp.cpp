#include "ops/prelude.h"

namespace plait {
namespace {

// The share of `a` in the sum, exp(a - y). Of two equal infinities, which have no difference, each has a half, as of any other
// equal operands.
Array share(const Array& a, const Array& b) {
  const Array gap = subtract(a, b);
  const Array alike = logical_and(equal(a, b), isinf(a));
  return sigmoid(where(alike, zeros_like(gap), gap));
}

}  // namespace

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
      .partials({[](std::span<const Array> x, const Array&) { return share(x[0], x[1]); },
                 [](std::span<const Array> x, const Array&) { return share(x[1], x[0]); }})
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
