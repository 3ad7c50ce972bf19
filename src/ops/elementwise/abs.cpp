#include "ops/prelude.h"

namespace plait {

void register_abs(OpRegistry& ops) {
  ops.elementwise("abs")
      .summary("Absolute value; the modulus of complex numbers.")
      .input("a", dtypes::any)
      .result([](DType d) { return d == DType::complex64 ? DType::float32 : d; })
      .lower([](Val a) { return is_in(a.type(), dtypes::boolean | dtypes::unsigned_integer) ? a : abs(a); })
      // Of a complex number: a tangent's part along it, or the cotangent (which is real) along its conjugate.
      .pieces({[](const Array& g, std::span<const Array> x, const Array&) {
        const Array direction = sign(x[0]);
        if (x[0].dtype() != DType::complex64) return multiply(g, direction);
        const Array along = multiply(g, conjugate(direction));
        return g.dtype() == DType::complex64 ? real(along) : along;
      }})
      .signature("(a: array, /, *, stream: StreamOrDevice = None) -> array")
      .method("(*, stream: StreamOrDevice = None) -> array")
      .oracle("np.abs(a)")
      .domain("(-3, 3)")
      .sample("(2, 3)")
      .sample("()")
      .sample("(0,)");
}

}  // namespace plait
