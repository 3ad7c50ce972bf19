#include "ops/prelude.h"

namespace plait {

Arrays divmod(const Array& a, const Array& b) { return {floor_divide(a, b), remainder(a, b)}; }

void register_divmod(OpRegistry& ops) {
  ops.function("divmod")
      .signature("(a: scalar | array, b: scalar | array, stream: StreamOrDevice = None) -> list[array]")
      .summary("The pair of floor_divide(a, b) and remainder(a, b).")
      .details(
          "Shapes: a and b broadcast; both results have their common shape. Dtype: that of both, promoted; not complex. Errors: ValueError for shapes that do not broadcast and for complex numbers.")
      .oracle("list(np.divmod(a, b))")
      .domain("(0.5, 3)")
      .sample("(2, 3), (3,)")
      .sample("[7.0, -7.0], [2.0, 2.0]")
      .sample("(), ()");
}

}  // namespace plait
