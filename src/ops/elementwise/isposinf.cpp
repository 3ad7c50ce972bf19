#include "ops/prelude.h"

namespace plait {

void register_isposinf(OpRegistry& ops) {
  ops.elementwise("isposinf")
      .summary("Whether each element is plus infinity.")
      .input("a", dtypes::any)
      .result(DType::bool_)
      .lower([](Val a) {
        if (a.type() == DType::complex64) {
          const Val re = real(a);
          return is_inf(re) & (re > 0.0);
        }
        return is_floating(a.type()) ? is_inf(a) & (a > 0.0) : a != a;
      })
      .not_differentiable("the result is bool")
      .signature("(a: array, stream: StreamOrDevice = None) -> array")
      .oracle("np.isposinf(a)")
      .domain("(-3, 3)")
      .sample("(2, 3)")
      .sample("()")
      .sample("(0,)");
}

}  // namespace plait
