#include "ops/prelude.h"
#include "ops/random/draw.h"
#include "plait/random.h"

namespace plait {
namespace {

struct RandomBitsAttrs {
  Shape shape;  // of the words of one key
};

// Keys are (..., 2): each gives the words of `shape`.
Avals infer_random_bits(const RandomBitsAttrs& attrs, std::span<const Aval> in) {
  Aval out{.shape = {}, .dtype = DType::uint32};
  for (int i = 0; i + 1 < in[0].shape.rank(); ++i) out.shape.push_back(in[0].shape[i]);
  for (const Dim& d : attrs.shape) out.shape.push_back(d);
  return {out};
}

const char* check_random_bits(const RandomBitsAttrs& attrs, std::span<const Aval> in) {
  if (in[0].shape.rank() < 1 || !(in[0].shape.back() == 2)) return "keys (..., 2)";
  return all_at_least(attrs.shape, 0) ? nullptr : "extents of 0 and more";
}

VmapResult vmap_random_bits(const RandomBitsAttrs& attrs, const VmapArgs& at) {
  static const OpHandle op("random_bits");
  return {{op(attrs, {batch_first(at, 0)})}, {0}};
}

}  // namespace

namespace random {

Array words(std::string_view op, const Shape& shape, const std::optional<Array>& key) {
  for (const Dim& d : shape)
    if (d < 0)
      throw ShapeError({.op = std::string(op),
                        .got = "a negative extent in " + to_string(shape),
                        .accepts = "extents of 0 and more",
                        .where = here()});
  if (key && (key->dtype() != DType::uint32 || key->rank() != 1 || !(key->shape()[0] == 2)))
    throw ArgumentError(
        {.op = std::string(op),
         .got = "a key of dtype " + std::string(name_of(key->dtype())) + " and shape " + to_string(key->shape()),
         .accepts = "uint32 of shape (2,)",
         .hint = "random.key(seed) makes one",
         .where = here()});
  static const OpHandle random_bits("random_bits");
  return random_bits(RandomBitsAttrs{shape}, {key ? *key : next_key()});
}

Array bits(const Shape& shape, const std::optional<Array>& key) { return words("random.bits", shape, key); }

Array split(const Array& key, int64_t num) { return words("random.split", Shape{num, 2}, key); }

}  // namespace random

void register_random_bits(OpRegistry& ops) {
  ops.opaque<RandomBitsAttrs>("random_bits")
      .summary("Words of the Threefry stream of each key.")
      .input("key", dtype_bit(DType::uint32), "(..., 2)")
      .attr("shape", &RandomBitsAttrs::shape, "extents of the words of one key")
      .infer(infer_random_bits)
      .check(check_random_bits)
      .vmap(vmap_random_bits)
      .not_differentiable("random words do not change smoothly with a key");
  ops.function("split")
      .module("core.random")
      .signature("(key: array, num: int = 2, stream: StreamOrDevice = None) -> array")
      .summary("Keys whose streams are independent of each other and of the key's: uint32 (num, 2).")
      .details("Errors: ValueError for what is no key, or a negative num.")
      .not_differentiable("keys are integers")
      .sample("key(1)", "num=3")
      .rejects("(3,)", "", "ValueError");
}

}  // namespace plait
