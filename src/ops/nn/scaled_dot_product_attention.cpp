#include "ops/create/iota.h"
#include "ops/limits.h"
#include "ops/prelude.h"
#include "plait/fast.h"

namespace plait {
namespace {

// --- two primitives of attention's one pass over the scores --------------------------------------------------------------

// exp(x - shift), rounded once to x's dtype: the gradient needs nothing but the result, so 16-bit scores keep 16-bit
// exponentials.
Array exp_difference(const Array& x, const Array& shift) {
  static const OpHandle op("exp_difference");
  return op({x, shift});
}

Avals infer_exp_difference(const NoAttrs&, std::span<const Aval> in) {
  return {{broadcast_shapes("exp_difference", in[0].shape, in[1].shape), in[0].dtype}};
}

const char* check_exp_difference(const NoAttrs&, std::span<const Aval> in) {
  const auto computed = [](DType d) { return is_half(d) ? DType::float32 : d; };
  return computed(in[0].dtype) == computed(in[1].dtype) ? nullptr : "operands that are computed in one dtype";
}

Val lower_exp_difference(const NoAttrs&, std::span<const Val> in, DType) { return exp(in[0] - in[1]); }

Grads vjp_exp_difference(const NoAttrs&, const VjpArgs& at) {
  Grads grads(2);
  const Array g = multiply(at.cotangent(), at.output());
  if (at.needed[0]) grads[0] = sum_to_shape(g, at.input_shape(0));
  if (at.needed[1]) grads[1] = converted(sum_to_shape(negative(g), at.input_shape(1)), at.input_dtype(1));
  return grads;
}

Arrays jvp_exp_difference(const NoAttrs&, const JvpArgs& at) {
  Array t = at.tangent(0);
  if (at.tangent(1).defined()) {
    const Array other = negative(converted(at.tangent(1), at.output().dtype()));
    t = t.defined() ? add(t, other) : other;
  }
  return {multiply(t, at.output())};
}

VmapResult vmap_exp_difference(const NoAttrs&, const VmapArgs& at) {
  static const OpHandle op("exp_difference");
  return vmap_elementwise(*op, Ref<AttrsBase>(), at);
}

// x where position <= bound, else y: a mask that is computed where it is used, in the gradient anew.
Array select_up_to(const Array& x, const Array& y, const Array& position, const Array& bound) {
  static const OpHandle op("select_up_to");
  return op({x, y, position, bound});
}

Avals infer_select_up_to(const NoAttrs&, std::span<const Aval> in) {
  Shape shape = in[0].shape;
  for (const Aval& a : in) shape = broadcast_shapes("select_up_to", shape, a.shape);
  return {{shape, in[0].dtype}};
}

const char* check_select_up_to(const NoAttrs&, std::span<const Aval> in) {
  return in[0].dtype == in[1].dtype && in[2].dtype == in[3].dtype ? nullptr
                                                                  : "x and y of one dtype, position and bound of one";
}

Val lower_select_up_to(const NoAttrs&, std::span<const Val> in, DType) { return select(in[2] <= in[3], in[0], in[1]); }

Array zero_like(const Array& a) { return Array(Scalar(0.0), a.dtype()); }

Grads vjp_select_up_to(const NoAttrs&, const VjpArgs& at) {
  Grads grads(4);
  const Array &g = at.cotangent(), zero = zero_like(g);
  const auto part = [&](const Array& x, const Array& y, int i) {
    return sum_to_shape(select_up_to(x, y, at.input(2), at.input(3)), at.input_shape(i));
  };
  if (at.needed[0]) grads[0] = part(g, zero, 0);
  if (at.needed[1]) grads[1] = part(zero, g, 1);
  return grads;
}

Arrays jvp_select_up_to(const NoAttrs&, const JvpArgs& at) {
  const Array zero = zero_like(at.output());
  const auto tangent = [&](int i) { return at.tangent(i).defined() ? at.tangent(i) : zero; };
  const Array t = select_up_to(tangent(0), tangent(1), at.input(2), at.input(3));
  return {broadcast_to(t, at.output().shape())};
}

VmapResult vmap_select_up_to(const NoAttrs&, const VmapArgs& at) {
  static const OpHandle op("select_up_to");
  return vmap_elementwise(*op, Ref<AttrsBase>(), at);
}

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

// --- the computation ------------------------------------------------------------------------------------------------------

// Scores (batch, heads, L, S) with the lowest number where a query does not attend, as recorded: one that attends to
// nothing gets the mean of all values.
Array masked(const Array& scores, const fast::AttentionMask& mask) {
  const Array lowest(Scalar(-largest_finite(scores.dtype())), scores.dtype());
  if (mask.causal) {
    const Dim queries = scores.dim(2), keys = scores.dim(3);
    const Array last = add(iota(queries, DType::int32), extent(keys - queries, DType::int32));
    return select_up_to(scores, lowest, iota(keys, DType::int32), expand_dims(last, 1));
  }
  if (!mask.array) return scores;
  if (mask.array->dtype() == DType::bool_) return where(*mask.array, scores, lowest);
  return add(scores, converted(*mask.array, scores.dtype()));
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

// softmax(x) = e / sum(e) with e = exp(x - shift) for every shift, and the division may wait until the values are summed up.
// So one pass over the scores makes e, which is all that the gradient needs of them: no sum over keys is left for it.
Array scaled_dot_product_attention(const Array& q, const Array& k, const Array& v, double scale,
                                   const AttentionMask& mask, const std::optional<Array>& sinks, bool force_fused) {
  check_shapes(q, k, v);
  const DType out = result_dtype(q, k, v), wide = is_half(out) ? DType::float32 : out;
  const Dim batch = q.dim(0), heads = q.dim(1), queries = q.dim(2), shared = k.dim(1), keys = k.dim(2);
  const Shape scores{batch, heads, queries, keys}, result{batch, heads, queries, v.dim(3)};
  if (mask.array) check_mask(*mask.array, scores, out);
  if (sinks) check_sinks(*sinks, heads, out);
  if (force_fused)
    throw ArgumentError({.op = kName,
                         .got = "force_fused=True",
                         .accepts = "False: there is no kernel of its own yet",
                         .where = here()});
  if (keys == 0) return zeros(result, out);

  // Queries of heads that share keys are rows of one product: k and v are neither repeated nor read more than once.
  const bool grouped = !(heads == shared);
  const Dim rows = grouped ? heads / shared * queries : queries;
  const auto by_keys = [&](const Array& a) { return grouped ? reshape(a, {batch, shared, rows, a.dim(3)}) : a; };
  const auto by_heads = [&](const Array& a) { return grouped ? reshape(a, {batch, heads, queries, a.dim(3)}) : a; };

  const Array scaled = multiply(converted(q, out), Array(Scalar(scale), out));
  const Array x = masked(by_heads(matmul(by_keys(scaled), swapaxes(converted(k, out), 2, 3))), mask);
  const Array precise = converted(x, wide);
  // float16 holds sums of up to 65504: there the exponentials are nearly normalized before they weigh the values.
  Array shift = out == DType::float16 ? logsumexp(precise, -1, true) : max(precise, -1, true);
  Array sink;
  if (sinks) {
    sink = reshape(converted(*sinks, wide), {heads, 1, 1});
    shift = maximum(shift, sink);
  }
  shift = stop_gradient(shift);
  const Array e = exp_difference(x, shift);
  Array total = sum(converted(e, wide), -1, true);
  if (sinks) total = add(total, exp_difference(sink, shift));
  const Array values = by_heads(matmul(by_keys(e), converted(v, out)));
  return converted(divide(converted(values, wide), total), out);
}

}  // namespace fast

void register_scaled_dot_product_attention(OpRegistry& ops) {
  ops.elementwise_with<NoAttrs>("exp_difference")
      .summary("exp(x - shift), rounded to the dtype of x.")
      .input("x", dtypes::floating)
      .input("shift", dtypes::floating)
      .infer(infer_exp_difference)
      .check(check_exp_difference)
      .lower(lower_exp_difference)
      .vjp(vjp_exp_difference)
      .jvp(jvp_exp_difference)
      .vmap(vmap_exp_difference);
  ops.elementwise_with<NoAttrs>("select_up_to")
      .summary("x where position <= bound, else y.")
      .input("x")
      .input("y", dtypes::any, "dtype of x")
      .input("position", dtypes::integer)
      .input("bound", dtypes::integer, "dtype of position")
      .infer(infer_select_up_to)
      .check(check_select_up_to)
      .lower(lower_select_up_to)
      .vjp(vjp_select_up_to)
      .jvp(jvp_select_up_to)
      .vmap(vmap_select_up_to);
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
          "Errors: ValueError for shapes, dtypes and masks that do not fit, and for force_fused while there is no fused kernel.")
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
      .rejects("(1, 2, 4, 8), (1, 2, 4, 8), (1, 2, 4, 8)", "scale=1.0, mask='zz'", "ValueError")
      .rejects("(1, 2, 4, 8), (1, 2, 4, 8), (1, 2, 4, 8)", "scale=1.0, force_fused=True", "ValueError");
}

}  // namespace plait
