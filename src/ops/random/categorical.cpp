#include "ops/prelude.h"
#include "ops/random/draw.h"

namespace plait {
namespace random {
namespace {

constexpr const char* kOp = "random.categorical";

// One distribution, many draws: where u falls among the running sums of the weights.
Array from_running_sums(const Array& logits, const Shape& shape, const std::optional<Array>& key) {
  const Array row = converted(reshape(logits, {logits.shape().count()}), DType::float32);
  const Array weights = exp(row - max(row, 0, true));
  const Array total = sum(weights, 0, false);
  const Array until = cumsum(weights, 0, false, false, std::nullopt);  // of those before each class
  return searchsorted(until, unit_interval(kOp, shape, DType::float32, key) * total, "right") -
         Array(Scalar(1), DType::uint32);
}

}  // namespace

Array categorical(const Array& logits, int axis, const std::optional<Shape>& shape, std::optional<int64_t> num_samples,
                  const std::optional<Array>& key) {
  if (shape && num_samples)
    throw ArgumentError({.op = kOp, .got = "both shape and num_samples", .accepts = "one of them", .where = here()});
  const int at = checked_axis(kOp, axis, logits.rank());
  if (logits.shape().count() == 0)
    throw ShapeError({.op = kOp,
                      .got = "logits of shape " + to_string(logits.shape()),
                      .accepts = "at least one class and one row",
                      .where = here()});
  Shape rows;  // the logits without their classes
  for (int i = 0; i < logits.rank(); ++i)
    if (i != at) rows.push_back(logits.shape()[i]);
  Shape out = shape ? *shape : rows;
  if (num_samples) out.push_back(*num_samples);
  if (shape) check_stretches(kOp, rows, out);
  if (out.rank() > 0 && rows.count() == 1) return from_running_sums(logits, out, key);
  // The largest of logits plus Gumbel noise: the classes keep their place among the rows' axes.
  const Array spread = num_samples ? expand_dims(logits, -1) : logits;
  const int classes = num_samples ? at : out.rank() - rows.rank() + at;
  Shape noise;
  for (int i = 0; i <= out.rank(); ++i)
    noise.push_back(i == classes ? logits.shape()[at] : out[i < classes ? i : i - 1]);
  return argmax(spread + gumbel(noise, DType::float32, key), classes, false);
}

}  // namespace random

void register_categorical(OpRegistry& ops) {
  ops.function("categorical")
      .module("core.random")
      .signature(
          "(logits: array, axis: int = -1, shape: Sequence[int] | None = None, num_samples: int | None = None, key: array | None = None, stream: "
          "StreamOrDevice = None) -> array")
      .summary("Classes drawn with the probabilities softmax(logits) along an axis; uint32.")
      .details(
          "shape: of the result, to which the logits without that axis broadcast; or num_samples: a new last axis of so many draws. Errors: IndexError "
          "for an axis that does not exist, ValueError for both counts, another shape, or no class.")
      .not_differentiable("classes are whole numbers")
      .sample("(3, 4), key(1)", "axis=-1, shape=None, num_samples=5")
      .sample("(3, 4), key(2)", "axis=0, shape=(2, 4), num_samples=None")
      .sample("(4,), key(3)", "axis=0, shape=(6,), num_samples=None")
      .rejects("(3,)", "axis=2", "AxisError")
      .rejects("(2, 3)", "shape=(3,)", "ValueError")
      .rejects("(3,)", "shape=(2,), num_samples=2", "ValueError");
}

}  // namespace plait
