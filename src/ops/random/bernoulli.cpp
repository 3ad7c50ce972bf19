#include "ops/prelude.h"
#include "ops/random/draw.h"

namespace plait {
namespace random {

Array bernoulli(const Array& p, const std::optional<Shape>& shape, const std::optional<Array>& key) {
  if (!is_floating(p.dtype()))
    throw DTypeError({.op = "random.bernoulli",
                      .got = "a probability of dtype " + std::string(name_of(p.dtype())),
                      .accepts = "floats",
                      .where = here()});
  const Shape& out = shape ? *shape : p.shape();
  check_stretches("random.bernoulli", p.shape(), out);
  const Array bound = converted(p, DType::float32) * 4294967296.0;
  return converted(words("random.bernoulli", out, key), DType::float32) < bound;
}

}  // namespace random

void register_bernoulli(OpRegistry& ops) {
  ops.function("bernoulli")
      .module("core.random")
      .signature(
          "(p: scalar | array = 0.5, shape: Sequence[int] | None = None, key: array | None = None, stream: StreamOrDevice = None) -> array")
      .summary("True with probability p; bool.")
      .details(
          "p: a float. shape: to which p broadcasts; None: the shape of p. Errors: ValueError for a p that is no float, shapes, keys.")
      .not_differentiable("bool has no gradient")
      .domain("(0, 1)")
      .sample("(3,), key(1)", "shape=(2, 3)")
      .sample("(), key(2)", "shape=(4,)")
      .rejects("", "p=2", "ValueError");
}

}  // namespace plait
