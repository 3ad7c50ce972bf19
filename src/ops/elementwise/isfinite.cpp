#include "ops/prelude.h"

namespace plait {

void register_isfinite(OpRegistry& ops) {
  ops.elementwise("isfinite")
      .summary("Whether each element is neither infinite nor not a number.")
      .input("a", dtypes::any)
      .result(DType::bool_)
      .lower([](Val a) {
        if (a.type() == DType::complex64) return is_finite(real(a)) & is_finite(imag(a));
        return is_floating(a.type()) ? is_finite(a) : a == a;
      })
      .not_differentiable("the result is bool")
      .signature("(a: array, stream: StreamOrDevice = None) -> array")
      .oracle("np.isfinite(a)")
      .domain("(-3, 3)")
      .sample("(2, 3)")
      .sample("()")
      .sample("(0,)");
}

}  // namespace plait
