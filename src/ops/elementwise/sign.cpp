#include "ops/prelude.h"

namespace plait {

// Of a complex number it does change, with its angle.
Array sign(const Array& a) {
  static const OpHandle op("sign");
  if (a.dtype() != DType::complex64) return elementwise(*op, {a});
  const Array size = abs(a);
  return divide(a, where(equal(size, zeros_like(size)), ones_like(size), size));
}

void register_sign(OpRegistry& ops) {
  ops.elementwise("sign")
      .hand_written()
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
