#include "ops/prelude.h"
#include "ops/view/slice.h"

namespace plait {

Array flip(const Array& a, const Axes& axis) {
  SliceAttrs attrs{{}, a.shape(), {}};
  const std::vector<int> axes = checked_axes("flip", axis, a.rank());
  for (int i = 0; i < a.rank(); ++i) {
    const bool turned = std::binary_search(axes.begin(), axes.end(), i);
    attrs.start.push_back(turned ? a.shape()[i] - 1 : Dim(0));
    attrs.step.push_back(turned ? -1 : 1);
  }
  return axes.empty() ? a : slice_static(a, attrs);
}

void register_flip(OpRegistry& ops) {
  ops.function("flip")
      .signature("(a: array, /, axis: None | int | Sequence[int] = None, *, stream: StreamOrDevice = None) -> array")
      .summary("Elements in opposite order along axes; along all without one.")
      .details("A view: nothing is copied. Errors: ValueError.")
      .oracle("np.flip(a, axis)")
      .sample("(2, 3)", "axis=None")
      .sample("(2, 3)", "axis=-1")
      .sample("(2, 3, 4)", "axis=(0, 2)")
      .sample("(0,)", "axis=0")
      .rejects("(2,)", "axis=3", "ValueError");
}

}  // namespace plait
