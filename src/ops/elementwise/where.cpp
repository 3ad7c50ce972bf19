#include "ops/prelude.h"

namespace plait {

Array where(const Array& condition, const Array& x, const Array& y) {
  const DType common = promote(x.dtype(), y.dtype());
  static const OpHandle op("select");
  return op({converted(condition, DType::bool_), converted(x, common), converted(y, common)});
}

void register_where(OpRegistry& ops) {
  ops.elementwise("select")
      .summary("x where the condition holds, else y.")
      .input("condition", dtypes::boolean)
      .input("x")
      .input("y")
      .mixed()
      .lower([](Val condition, Val x, Val y) { return select(condition, x, y); })
      .pieces({nullptr,
               [](const Array& g, std::span<const Array> in, const Array&) { return where(in[0], g, zeros_like(g)); },
               [](const Array& g, std::span<const Array> in, const Array&) { return where(in[0], zeros_like(g), g); }})
      .internal();
  ops.function("where")
      .signature(
          "(condition: scalar | array, x: scalar | array, y: scalar | array, /, *, stream: StreamOrDevice = None) -> array")
      .summary("x where the condition is non-zero, else y; all three broadcast.")
      .details("Dtype: that of x and y, promoted. Errors: ValueError for shapes that do not broadcast.")
      .oracle("np.where(condition, x, y)")
      .sample("(2, 3), (2, 3), (3,)")
      .sample("(), (2,), ()");
}

}  // namespace plait
