#include "ops/prelude.h"

namespace plait {

// Lazy zeros cost nothing, so nobody has to see what memory held before.
Array empty(const Shape& shape, std::optional<DType> dtype) { return zeros(shape, dtype); }
Array empty_like(const Array& a, std::optional<DType> dtype) { return zeros_like(a, dtype); }

void register_empty(OpRegistry& ops) {
  ops.function("empty")
      .signature(
          "(shape: int | Sequence[int], dtype: Dtype | None = float32, *, stream: StreamOrDevice = None) -> array")
      .summary("An array whose elements do not matter; they are zero.")
      .not_differentiable("it has no array operand")
      .details(
          "shape: extents, or one. Dtype: as given, float32 for None. Errors: ValueError for negative extents; OutOfMemory while evaluating.")
      .oracle("np.zeros(shape, np.float32)")
      .sample("", "shape=(2, 3)");
  ops.function("empty_like")
      .signature("(a: array, /, dtype: Dtype | None = None, *, stream: StreamOrDevice = None) -> array")
      .summary("An array of the shape and dtype of a whose elements do not matter; they are zero.")
      .details("Errors: TypeError for what is no array.")
      .oracle("np.zeros_like(a)")
      .sample("(2, 3)");
}

}  // namespace plait
