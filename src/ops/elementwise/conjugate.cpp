#include "ops/prelude.h"

namespace plait {

void register_conjugate(OpRegistry& ops) {
  ops.elementwise("conjugate")
      .summary("Complex conjugate; real numbers stay.")
      .input("a", dtypes::any)
      .lower([](Val a) { return a.type() == DType::complex64 ? conj(a) : a; })
      .pieces({[](const Array& g, std::span<const Array>, const Array&) {
        return g.dtype() == DType::complex64 ? conjugate(g) : g;
      }})
      .signature("(a: array, *, stream: StreamOrDevice = None) -> array")
      .alias("conj")
      .oracle("np.conjugate(a)")
      .domain("(-3, 3)")
      .sample("(2, 3)")
      .sample("()")
      .sample("(0,)");
}

}  // namespace plait
