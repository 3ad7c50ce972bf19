#include "ops/prelude.h"

namespace plait {
namespace {

void check_targets(const Array& logits, const Array& targets) {
  if (!is_floating(logits.dtype()) || !is_integer(targets.dtype()))
    throw DTypeError({.op = "cross_entropy",
                      .got = "logits of " + std::string(name_of(logits.dtype())) + " and targets of " +
                             std::string(name_of(targets.dtype())),
                      .accepts = "real floats, and integers that name classes",
                      .where = here()});
  bool fits = logits.rank() == targets.rank() + 1;
  for (int i = 0; fits && i < targets.rank(); ++i) fits = logits.shape()[i] == targets.shape()[i];
  if (!fits)
    throw ShapeError(
        {.op = "cross_entropy",
         .got = "logits of shape " + to_string(logits.shape()) + " and targets of shape " + to_string(targets.shape()),
         .accepts = "targets of the logits' shape without its last axis, the classes",
         .where = here()});
}

}  // namespace

namespace fast {

Array cross_entropy(const Array& logits, const Array& targets) {
  check_targets(logits, targets);
  const DType out = logits.dtype() == DType::float64 ? DType::float64 : DType::float32;
  const Array score = squeeze(take_along_axis(logits, expand_dims(targets, -1), -1), -1);
  return subtract(logsumexp(converted(logits, out), -1, false), converted(score, out));
}

}  // namespace fast

void register_cross_entropy(OpRegistry& ops) {
  ops.function("cross_entropy")
      .module("core.fast")
      .signature("(logits: array, targets: array, *, stream: StreamOrDevice = None) -> array")
      .summary("-log(softmax(logits)) at the class that targets names, for each example.")
      .details(
          "Shapes: logits (..., classes), targets (...), integers of which negative ones count from the end -> (...). Dtype: float32, float64 for logits of float64. Errors: ValueError for shapes and dtypes that do not fit, and without classes; IndexError while evaluating for a class that does not exist.")
      .oracle(
          "scipy.special.logsumexp(logits, axis=-1) - np.take_along_axis(logits, np.asarray(targets)[..., None], -1)[..., 0]")
      .sample("(3, 4), [0, 3, -1]")
      .sample("(1, 2, 3), [[2, 0]]")
      .rejects("(3, 4), [0, 1]", "", "ValueError")
      .rejects("(3, 4), [0.5, 1.5, 2.5]", "", "ValueError")
      .rejects("(3, 4), [0, 1, 9]", "", "IndexError");
}

}  // namespace plait
