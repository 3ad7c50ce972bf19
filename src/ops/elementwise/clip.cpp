#include "ops/prelude.h"

namespace plait {

Array clip(const Array& a, const std::optional<Array>& a_min, const std::optional<Array>& a_max) {
  if (!a_min && !a_max)
    throw ArgumentError({.op = "clip", .got = "no bound", .accepts = "a_min, a_max or both", .where = here()});
  const Array raised = a_min ? maximum(a, *a_min) : a;
  return a_max ? minimum(raised, *a_max) : raised;
}

void register_clip(OpRegistry& ops) {
  ops.function("clip")
      .signature(
          "(a: array, /, a_min: scalar | array | None, a_max: scalar | array | None, *, stream: StreamOrDevice = None) -> array")
      .summary("Elements kept between two bounds, either of which may be None.")
      .details(
          "Where a_min is above a_max the result is a_max. All three broadcast. Errors: ValueError when both are None.")
      .oracle("np.clip(a, a_min, a_max)")
      .sample("(2, 3)", "a_min=-0.5, a_max=0.5")
      .sample("(2, 3)", "a_min=None, a_max=0.25")
      .sample("()", "a_min=0.0, a_max=None")
      .sample("(0,)", "a_min=0.0, a_max=1.0")
      .rejects("(2,)", "a_min=None, a_max=None", "ValueError");
}

}  // namespace plait
