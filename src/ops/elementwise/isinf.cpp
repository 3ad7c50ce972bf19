#include "ops/prelude.h"

namespace plait {

void register_isinf(OpRegistry& ops) {
  ops.elementwise("isinf")
      .summary("Whether each element is infinite.")
      .input("a", dtypes::any)
      .result(DType::bool_)
      .lower([](Val a) {
        if (a.type() == DType::complex64) return is_inf(real(a)) | is_inf(imag(a));
        return is_floating(a.type()) ? is_inf(a) : a != a;
      })
      .not_differentiable("the result is bool")
      .signature("(a: array, stream: StreamOrDevice = None) -> array")
      .oracle("np.isinf(a)")
      .domain("(-3, 3)")
      .sample("(2, 3)")
      .sample("()")
      .sample("(0,)");
}

}  // namespace plait
