#include "ops/nn/attention.h"
#include "plait/fast.h"

namespace plait {
namespace {

// --- arguments ------------------------------------------------------------------------------------------------------------

constexpr const char* kName = "scaled_dot_product_attention";

[[noreturn]] void reject_shapes(const Array& q, const Array& k, const Array& v, std::string accepts) {
  throw ShapeError({.op = kName,
                    .got = "q " + to_string(q.shape()) + ", k " + to_string(k.shape()) + ", v " + to_string(v.shape()),
                    .accepts = std::move(accepts),
                    .where = here()});
}

void check_shapes(const Array& q, const Array& k, const Array& v) {
  if (q.rank() != 4 || k.rank() != 4 || v.rank() != 4)
    reject_shapes(q, k, v, "4 axes each: (batch, heads, length, features)");
  if (!(q.dim(0) == k.dim(0)) || !(q.dim(0) == v.dim(0))) reject_shapes(q, k, v, "one batch size");
  if (!(q.dim(3) == k.dim(3))) reject_shapes(q, k, v, "q and k with equally many features");
  if (!(k.dim(1) == v.dim(1)) || !(k.dim(2) == v.dim(2))) reject_shapes(q, k, v, "k and v of equal heads and lengths");
  const Dim heads = q.dim(1), shared = k.dim(1);
  if (heads == shared) return;
  if (shared == 0 || !(heads % shared == 0))
    reject_shapes(q, k, v, "heads of q that are a multiple of those of k and v");
}

DType result_dtype(const Array& q, const Array& k, const Array& v) {
  const DType d = promote(promote(q.dtype(), k.dtype()), v.dtype());
  if (!is_floating(d))
    throw DTypeError({.op = kName,
                      .got = "q, k and v that promote to " + std::string(name_of(d)),
                      .accepts = "real floats",
                      .hint = "astype(float32) converts",
                      .where = here()});
  return d;
}

// Mask and sinks may not widen the result.
void check_dtype(const char* what, const Array& a, DType out) {
  if (promote(a.dtype(), out) == out) return;
  throw DTypeError({.op = kName,
                    .got = std::string(what) + " of " + std::string(name_of(a.dtype())) + " for a result of " +
                           std::string(name_of(out)),
                    .accepts = "a dtype that promotes to the result's",
                    .hint = "astype(" + std::string(name_of(out)) + ") converts",
                    .where = here()});
}

void check_mask(const Array& mask, const Shape& scores, DType out) {
  check_dtype("a mask", mask, out);
  bool fits = mask.rank() <= 4;
  for (int i = 1; fits && i <= mask.rank(); ++i) fits = mask.dim(-i) == 1 || mask.dim(-i) == scores[4 - i];
  if (!fits)
    throw ShapeError({.op = kName,
                      .got = "a mask of shape " + to_string(mask.shape()),
                      .accepts = "a shape that broadcasts to the scores, " + to_string(scores),
                      .where = here()});
}

void check_sinks(const Array& sinks, Dim heads, DType out) {
  if (sinks.rank() != 1 || !(sinks.dim(0) == heads))
    throw ShapeError({.op = kName,
                      .got = "sinks of shape " + to_string(sinks.shape()),
                      .accepts = "one for each head of q, " + to_string(Shape{heads}),
                      .where = here()});
  check_dtype("sinks", sinks, out);
}

Array with_4_axes(const Array& a) {
  Shape shape;
  for (int i = a.rank(); i < 4; ++i) shape.push_back(1);
  for (int i = 0; i < a.rank(); ++i) shape.push_back(a.dim(i));
  return reshape(a, shape);
}

}  // namespace

namespace fast {

AttentionMask::AttentionMask(std::string_view name) : causal(name == "causal") {
  if (!causal)
    throw ArgumentError({.op = kName,
                         .got = "mask '" + std::string(name) + "'",
                         .accepts = "'causal', an array, or None",
                         .where = here()});
}

Array scaled_dot_product_attention(const Array& q, const Array& k, const Array& v, double scale,
                                   const AttentionMask& mask, const std::optional<Array>& sinks, bool) {
  check_shapes(q, k, v);
  const DType out = result_dtype(q, k, v);
  const Shape scores{q.dim(0), q.dim(1), q.dim(2), k.dim(2)};
  if (mask.array) check_mask(*mask.array, scores, out);
  if (sinks) check_sinks(*sinks, q.dim(1), out);
  const attention::Attrs attrs{scale, mask.causal ? "causal" : mask.array ? "array" : "none", sinks.has_value()};
  attention::Operands operands{converted(q, out), converted(k, out), converted(v, out), attention::no_mask(),
                               attention::no_sinks(out)};
  if (mask.array)
    operands.mask = with_4_axes(mask.array->dtype() == DType::bool_ ? *mask.array : converted(*mask.array, out));
  if (sinks) operands.sinks = expand_dims(converted(*sinks, is_half(out) ? DType::float32 : out), 0);
  return attention::attend(attrs, operands);
}

}  // namespace fast

void register_scaled_dot_product_attention(OpRegistry& ops) {
  ops.function("scaled_dot_product_attention")
      .module("core.fast")
      .signature(
          "(q: array, k: array, v: array, *, scale: float, mask: None | str | array = None, sinks: array | None = None, force_fused: bool = False, stream: StreamOrDevice = None) -> array")
      .summary("Attention: softmax(scale * q @ k.T + mask) @ v for each head.")
      .details(
          "Shapes: q (N, heads, L, D), k (N, kv_heads, S, D), v (N, kv_heads, S, Dv) -> (N, heads, L, Dv). kv_heads divides heads: neighbouring heads of q share one of k and v, which are not repeated.\n"
          "mask: 'causal' lets query i see keys up to i + S - L. An array broadcasts to (N, heads, L, S): a boolean one is true where a query attends, any other one is added to the scores. A query that attends to nothing gets the mean of all values.\n"
          "sinks: (heads,), a score for each head that takes its part of the softmax and brings back nothing.\n"
          "Dtype: the one that q, k and v promote to; mask and sinks have to promote to it. The softmax is computed in float32 for 16-bit floats.\n"
          "Memory: linear in L and S, in gradients too; tangents, second derivatives and the gradient of a mask write the scores out. force_fused changes nothing: every call is one operation. Errors: ValueError for shapes, dtypes and masks that do not fit.")
      .oracle("oracle.attention(q, k, v, scale, mask)")
      .sample("(2, 2, 3, 4), (2, 2, 5, 4), (2, 2, 5, 6)", "scale=0.5")
      .sample("(1, 4, 3, 2), (1, 2, 4, 2), (1, 2, 4, 2)", "scale=0.7, mask='causal'")
      .sample("(1, 1, 3, 2), (1, 1, 2, 2), (1, 1, 2, 2)", "scale=0.5, mask='causal'")
      .sample("(1, 2, 3, 4), (1, 1, 0, 4), (1, 1, 0, 3)", "scale=0.5")
      .rejects("(1, 2, 4), (1, 2, 4), (1, 2, 4)", "scale=1.0", "ValueError")
      .rejects("(1, 3, 4, 8), (1, 2, 4, 8), (1, 2, 4, 8)", "scale=1.0", "ValueError")
      .rejects("(1, 2, 4, 8), (1, 2, 4, 7), (1, 2, 4, 8)", "scale=1.0", "ValueError")
      .rejects("(1, 2, 4, 8), (1, 2, 4, 8), (1, 2, 5, 8)", "scale=1.0", "ValueError")
      .rejects("(1, 2, 4, 8), (2, 2, 4, 8), (2, 2, 4, 8)", "scale=1.0", "ValueError")
      .rejects("(1, 2, 4, 8), (1, 0, 4, 8), (1, 0, 4, 8)", "scale=1.0", "ValueError")
      .rejects("(1, 2, 4, 8), (1, 2, 4, 8), (1, 2, 4, 8)", "scale=1.0, mask='zz'", "ValueError");
}

}  // namespace plait
