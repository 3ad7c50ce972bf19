#include "ops/nn/attention.h"

#include "ops/create/iota.h"
#include "ops/limits.h"
#include "ops/matrices.h"

namespace plait {
namespace {

using attention::Attrs;
using attention::Operands;

// Inputs of `attention`, and of `attention_vjp`, which has sinks in `total` already.
enum Input { kQ, kK, kV, kMask, kSinks };
enum InputOfVjp { kMost = 4, kTotal, kDelta, kCotangent, kResult, kInputsOfVjp };

struct VjpAttrs {
  Scalar scale{1.0};
  std::string mask = "none";
  bool sinks = false;
  bool delta_of_result = false;  // whether delta is the sum of cotangent * result

  Attrs of_forward() const { return {scale, mask, sinks}; }
};

DType wide(DType d) { return is_half(d) ? DType::float32 : d; }

Shape without_last(Shape shape) {
  shape.pop_back();
  return shape;
}

bool fits(const Dim& extent, const Dim& of) { return extent == 1 || extent == of; }

const char* check_operands(const Attrs& attrs, std::span<const Aval> in) {
  const Shape &q = in[kQ].shape, &k = in[kK].shape, &v = in[kV].shape, &mask = in[kMask].shape;
  if (q.rank() != 4 || k.rank() != 4 || v.rank() != 4 || mask.rank() != 4) return "4 axes";
  if (in[kK].dtype != in[kQ].dtype || in[kV].dtype != in[kQ].dtype) return "q, k and v of one dtype";
  if (!(q[0] == k[0] && k[0] == v[0] && k[1] == v[1] && k[2] == v[2] && q[3] == k[3]))
    return "q, k and v of one batch, k and v of equal heads and lengths, q and k of equally many features";
  if (k[1] == 0 ? !(q[1] == 0) : !(q[1] % k[1] == 0)) return "heads of q that are a multiple of those of k";
  if (attrs.mask != "none" && attrs.mask != "causal" && attrs.mask != "array")
    return "mask 'none', 'causal' or 'array'";
  if (attrs.mask != "array") return nullptr;
  if (in[kMask].dtype != DType::bool_ && in[kMask].dtype != in[kQ].dtype) return "a mask of bool or of q's dtype";
  const bool mask_fits = fits(mask[0], q[0]) && fits(mask[1], q[1]) && fits(mask[2], q[2]) && fits(mask[3], k[2]);
  return mask_fits ? nullptr : "a mask that broadcasts to the scores";
}

const char* check_attention(const Attrs& attrs, std::span<const Aval> in) {
  if (const char* accepts = check_operands(attrs, in)) return accepts;
  const Shape& sinks = in[kSinks].shape;
  if (sinks.rank() != 2 || in[kSinks].dtype != wide(in[kQ].dtype)) return "2 axes of sinks, of the dtype of sums";
  if (!attrs.sinks) return nullptr;
  return fits(sinks[0], in[kQ].shape[0]) && fits(sinks[1], in[kQ].shape[1]) ? nullptr : "sinks for each head";
}

const char* check_attention_vjp(const VjpAttrs& attrs, std::span<const Aval> in) {
  if (const char* accepts = check_operands(attrs.of_forward(), in)) return accepts;
  const Shape rows = without_last(in[kQ].shape);
  for (int i : {kMost, kTotal, kDelta})
    if (!(in[i].shape == rows) || in[i].dtype != wide(in[kQ].dtype)) return "a number for each query";
  Shape result = in[kQ].shape;
  result.back() = in[kV].shape.back();
  for (int i : {kCotangent, kResult})
    if (!(in[i].shape == result) || in[i].dtype != in[kQ].dtype) return "a result and its cotangent";
  return nullptr;
}

// The result, and of each row of scores the largest and the sum of the exponentials of what is below it.
Avals infer_attention(const Attrs&, std::span<const Aval> in) {
  Aval y = in[kQ], row{without_last(in[kQ].shape), wide(in[kQ].dtype)};
  y.shape.back() = in[kV].shape.back();
  return {y, row, row};
}

Avals infer_attention_vjp(const VjpAttrs&, std::span<const Aval> in) { return {in[kQ], in[kK], in[kV]}; }

Arrays make(const Attrs& attrs, std::initializer_list<Array> inputs) {
  static const OpHandle op("attention");
  return make_all(*op, Ref<AttrsBase>::adopt(new AttrsBox<Attrs>(attrs)), SmallVector<Array, 2>(inputs));
}
Arrays make_vjp(const VjpAttrs& attrs, std::initializer_list<Array> inputs) {
  static const OpHandle op("attention_vjp");
  return make_all(*op, Ref<AttrsBase>::adopt(new AttrsBox<VjpAttrs>(attrs)), SmallVector<Array, 2>(inputs));
}

// --- the rules' own view of it, which writes the scores out ------------------------------------------------------------

/// Weights p = exp(scores - most) / total and what follows from them, in the dtype of sums. Heads that share keys are rows of one
/// product.
class Written {
 public:
  Written(const Attrs& attrs, std::span<const Array> in, const Array& most, const Array& total)
      : attrs_(attrs),
        in_(in),
        dtype_(wide(in[kQ].dtype())),
        q_(by_keys(in[kQ])),
        k_(whole(in[kK])),
        v_(whole(in[kV])) {
    const Array scores = masked(by_heads(matmul(scaled(q_), matrix_transpose(k_))));
    p_ = divide(exp(subtract(scores, expand_dims(most, -1))), expand_dims(total, -1));
  }
  const Array& q() const { return q_; }
  const Array& k() const { return k_; }
  const Array& v() const { return v_; }
  const Array& p() const { return p_; }

  /// (N, heads, L, X) -> (N, shared, rows, X).
  Array by_keys(const Array& a) const { return reshape(whole(a), {a.dim(0), in_[kK].dim(1), rows(), a.dim(3)}); }
  Array by_heads(const Array& a) const { return reshape(a, {a.dim(0), in_[kQ].dim(1), in_[kQ].dim(2), a.dim(3)}); }
  Array whole(const Array& a) const { return converted(a, dtype_); }
  Array scaled(const Array& a) const { return multiply(a, Array(attrs_.scale, dtype_)); }

  /// What depends on q and k: 0 where a query does not see a key.
  Array kept(const Array& a) const {
    const Array zero(Scalar(0.0), dtype_);
    if (attrs_.mask == "causal") return where(seen(), a, zero);
    return boolean() ? where(in_[kMask], a, zero) : a;
  }
  /// (N, heads, L, S) @ (N, shared, S, X), and the transposed product with (N, heads, L, X).
  Array times(const Array& weights, const Array& of_keys) const { return by_heads(matmul(grouped(weights), of_keys)); }
  Array transposed_times(const Array& weights, const Array& of_rows) const {
    return matmul(matrix_transpose(grouped(weights)), by_keys(of_rows));
  }
  /// (N, heads, L, X) @ (N, shared, S, X) transposed.
  Array against(const Array& of_rows, const Array& of_keys) const {
    return by_heads(matmul(by_keys(of_rows), matrix_transpose(of_keys)));
  }
  /// Tangent of the scores.
  Array scores_tangent(const Array& of_q, const Array& of_k, const Array& of_mask) const {
    Array t;
    const auto plus = [&](const Array& part) { t = t.defined() ? add(t, part) : part; };
    if (of_q.defined()) plus(scaled(against(of_q, k_)));
    if (of_k.defined()) plus(scaled(by_heads(matmul(q_, matrix_transpose(whole(of_k))))));
    if (of_mask.defined() && additive()) plus(broadcast_to(whole(of_mask), p_.shape()));
    return t.defined() ? kept(t) : t;
  }
  bool additive() const { return attrs_.mask == "array" && !boolean(); }

 private:
  Dim rows() const {
    const Dim heads = in_[kQ].dim(1), shared = in_[kK].dim(1);
    return heads == shared ? in_[kQ].dim(2) : heads / shared * in_[kQ].dim(2);
  }
  Array grouped(const Array& weights) const {
    return reshape(weights, {weights.dim(0), in_[kK].dim(1), rows(), weights.dim(3)});
  }
  bool boolean() const { return attrs_.mask == "array" && in_[kMask].dtype() == DType::bool_; }
  Array seen() const {
    const Dim queries = in_[kQ].dim(2), keys = in_[kK].dim(2);
    const Array last = add(iota(queries, DType::int32), extent(keys - queries, DType::int32));
    return less_equal(iota(keys, DType::int32), expand_dims(last, 1));
  }
  Array masked(const Array& scores) const {
    const Array lowest(Scalar(-largest_finite(dtype_)), dtype_);
    if (attrs_.mask == "causal") return where(seen(), scores, lowest);
    if (boolean()) return where(in_[kMask], scores, lowest);
    return additive() ? add(scores, whole(in_[kMask])) : scores;
  }

  const Attrs attrs_;
  std::span<const Array> in_;
  DType dtype_;
  Array q_, k_, v_, p_;
};

Array row_sum(const Array& a) { return sum(a, -1, true); }

// Weights of the sinks, (N, heads, L).
Array weights_of_sinks(const Array& sinks, const Array& most, const Array& total) {
  return divide(exp(subtract(expand_dims(sinks, -1), most)), total);
}

// --- rules of the result -----------------------------------------------------------------------------------------------
// `most` only moves where the exponentials are taken: what depends on it cancels, so that it has no derivative.

Grads vjp_attention(const Attrs& attrs, const VjpArgs& at) {
  const auto in = std::span<const Array>(at.node.inputs.begin(), at.node.inputs.size());
  const Array y = at.output(0), most = at.output(1), total = at.output(2), &g = at.cotangent(0);
  const DType d = total.dtype();
  const Array delta = subtract(sum(multiply(converted(g, d), converted(y, d)), -1), multiply(at.cotangent(2), total));
  Grads grads(5);
  if (at.needed[kQ] || at.needed[kK] || at.needed[kV]) {
    const VjpAttrs of_vjp{attrs.scale, attrs.mask, attrs.sinks, linalg::is_zeros(at.cotangent(2))};
    const Arrays parts = make_vjp(of_vjp, {in[kQ], in[kK], in[kV], in[kMask], most, total, delta, g, y});
    std::copy(parts.begin(), parts.end(), grads.begin());
  }
  if (at.needed[kMask] && attrs.mask == "array" && in[kMask].dtype() != DType::bool_) {
    const Written w(attrs, in, most, total);
    const Array of_scores = multiply(w.p(), subtract(w.against(g, w.v()), expand_dims(delta, -1)));
    grads[kMask] = converted(sum_to_shape(of_scores, in[kMask].shape()), in[kMask].dtype());
  }
  if (at.needed[kSinks] && attrs.sinks) {
    const Array of_rows = negative(multiply(weights_of_sinks(in[kSinks], most, total), delta));
    grads[kSinks] = sum_to_shape(sum(of_rows, -1), in[kSinks].shape());
  }
  return grads;
}

Arrays jvp_attention(const Attrs& attrs, const JvpArgs& at) {
  const Array &y = at.output(0), &most = at.output(1), &total = at.output(2);
  const Written w(attrs, at.inputs, most, total);
  Array of_y, of_total;
  const auto plus = [](Array& to, const Array& part) { to = to.defined() ? add(to, part) : part; };
  if (const Array t = w.scores_tangent(at.tangent(kQ), at.tangent(kK), at.tangent(kMask)); t.defined()) {
    const Array weighed = multiply(w.p(), t);
    of_y = w.times(weighed, w.v());
    of_total = row_sum(weighed);
  }
  if (attrs.sinks && at.tangent(kSinks).defined())
    plus(of_total,
         expand_dims(multiply(weights_of_sinks(at.input(kSinks), most, total), expand_dims(at.tangent(kSinks), -1)),
                     -1));
  if (of_total.defined()) plus(of_y, negative(multiply(of_total, w.whole(y))));
  if (at.tangent(kV).defined()) plus(of_y, w.times(w.p(), w.whole(at.tangent(kV))));
  if (!of_y.defined()) of_y = zeros_like(w.whole(y));
  const Array zero = zeros_like(total);
  return {converted(of_y, y.dtype()), zero, of_total.defined() ? multiply(squeeze(of_total, -1), total) : zero};
}

// --- rules of the gradient ---------------------------------------------------------------------------------------------
// dx = p (g v' - delta) where seen;  dq = scale dx k, dk = scale dx' q, dv = p' g
// The result only says again what delta says, for kernels that want it so: what depends on it goes through delta.

struct Backward {
  Written w;
  Array g, t, x;  // t = g v' - delta, x = dx

  Backward(const VjpAttrs& attrs, std::span<const Array> in)
      : w(attrs.of_forward(), in, in[kMost], in[kTotal]),
        g(w.whole(in[kCotangent])),
        t(subtract(w.against(g, w.v()), expand_dims(in[kDelta], -1))),
        x(w.kept(multiply(w.p(), t))) {}
};

Array zero_where_missing(const Array& a, const Array& like) { return a.defined() ? a : zeros_like(like); }

Arrays jvp_attention_vjp(const VjpAttrs& attrs, const JvpArgs& at) {
  const Backward b(attrs, at.inputs);
  const Written& w = b.w;
  const auto tangent = [&](int i) { return w.whole(zero_where_missing(at.tangent(i), at.input(i))); };
  const Array moved = w.scores_tangent(at.tangent(kQ), at.tangent(kK), at.tangent(kMask));
  Array of_log = negative(divide(tangent(kTotal), at.input(kTotal)));  // of p
  of_log = expand_dims(of_log, -1);
  const Array of_p = multiply(w.p(), moved.defined() ? add(moved, of_log) : of_log);
  const Array of_g = tangent(kCotangent), of_v = tangent(kV);
  const Array of_t = subtract(add(w.against(of_g, w.v()), w.against(b.g, of_v)), expand_dims(tangent(kDelta), -1));
  const Array of_x = w.kept(add(multiply(of_p, b.t), multiply(w.p(), of_t)));
  const Array q = w.scaled(add(w.times(of_x, w.k()), w.times(b.x, tangent(kK))));
  const Array k = w.scaled(add(w.transposed_times(of_x, at.input(kQ)), w.transposed_times(b.x, tangent(kQ))));
  const Array v = add(w.transposed_times(of_p, b.g), w.transposed_times(w.p(), of_g));
  const DType d = at.input(kQ).dtype();
  return {converted(q, d), converted(k, d), converted(v, d)};
}

Grads vjp_attention_vjp(const VjpAttrs& attrs, const VjpArgs& at) {
  const auto in = std::span<const Array>(at.node.inputs.begin(), at.node.inputs.size());
  const Backward b(attrs, in);
  const Written& w = b.w;
  const Array of_q = w.whole(at.cotangent(0)), of_k = w.whole(at.cotangent(1)), of_v = w.whole(at.cotangent(2));
  const Array of_x = w.kept(w.scaled(add(w.against(of_q, w.k()), w.against(in[kQ], of_k))));
  const Array of_p = add(multiply(of_x, b.t), w.against(b.g, of_v));
  const Array of_t = multiply(of_x, w.p());
  const Array weighed = multiply(of_p, w.p()), of_scores = w.kept(weighed);
  Grads grads(kInputsOfVjp);
  const DType d = in[kQ].dtype();
  grads[kQ] = converted(w.scaled(add(w.times(b.x, of_k), w.times(of_scores, w.k()))), d);
  grads[kK] = converted(w.scaled(add(w.transposed_times(b.x, of_q), w.transposed_times(of_scores, in[kQ]))), d);
  grads[kV] = converted(w.transposed_times(of_t, b.g), d);
  if (at.needed[kMask] && w.additive())
    grads[kMask] = converted(sum_to_shape(weighed, in[kMask].shape()), in[kMask].dtype());
  grads[kTotal] = negative(divide(sum(weighed, -1), in[kTotal]));
  grads[kDelta] = negative(sum(of_t, -1));
  grads[kCotangent] = converted(add(w.times(of_t, w.v()), w.times(w.p(), of_v)), d);
  return grads;
}

// --- batches -----------------------------------------------------------------------------------------------------------

enum class Needs : uint8_t { all, some };  // of the first axis

// The batch becomes part of the first axis.
Array merged(const VmapArgs& at, int i, const Dim& first, Needs needs) {
  if (needs == Needs::some && at.axes[i] == kUnbatched && at.inputs[i].dim(0) == 1) return at.inputs[i];
  Array a = batch_first_broadcast(at, i);
  Shape shape = a.shape();
  if (needs == Needs::some && !(shape[1] == first)) {
    shape[1] = first;
    a = broadcast_to(a, shape);
  }
  Shape flat{shape[0] * shape[1]};
  for (int axis = 2; axis < shape.rank(); ++axis) flat.push_back(shape[axis]);
  return reshape(a, flat);
}

// The first axis of an example.
Dim first_axis(const VmapArgs& at) { return at.axes[kQ] == 0 ? at.inputs[kQ].dim(1) : at.inputs[kQ].dim(0); }

VmapResult split(const VmapArgs& at, const Arrays& outputs) {
  VmapResult result;
  for (const Array& out : outputs) {
    Shape shape{at.size, first_axis(at)};
    for (int axis = 1; axis < out.rank(); ++axis) shape.push_back(out.dim(axis));
    result.outputs.push_back(reshape(out, shape));
    result.axes.push_back(0);
  }
  return result;
}

VmapResult vmap_attention(const Attrs& attrs, const VmapArgs& at) {
  const Dim first = first_axis(at);
  const auto in = [&](int i) { return merged(at, i, first, i == kMask || i == kSinks ? Needs::some : Needs::all); };
  return split(at, make(attrs, {in(0), in(1), in(2), in(3), in(4)}));
}

VmapResult vmap_attention_vjp(const VjpAttrs& attrs, const VmapArgs& at) {
  const Dim first = first_axis(at);
  const auto in = [&](int i) { return merged(at, i, first, i == kMask ? Needs::some : Needs::all); };
  return split(at, make_vjp(attrs, {in(0), in(1), in(2), in(3), in(4), in(5), in(6), in(7), in(8)}));
}

}  // namespace

namespace attention {

Array no_mask() { return broadcast_to(Array(true), {1, 1, 1, 1}); }
Array no_sinks(DType dtype) { return broadcast_to(Array(Scalar(0.0), wide(dtype)), {1, 1}); }

Array attend(const Attrs& attrs, const Operands& o) { return make(attrs, {o.q, o.k, o.v, o.mask, o.sinks})[0]; }

}  // namespace attention

void register_attention(OpRegistry& ops) {
  const auto described = []<class A>(OpBuilder<A>& builder) -> OpBuilder<A>& {
    return builder.input("q", dtypes::floating, "(N, heads, L, D)")
        .input("k", dtypes::floating, "(N, shared, S, D)")
        .input("v", dtypes::floating, "(N, shared, S, Dv)")
        .input("mask", dtypes::floating | dtype_bit(DType::bool_), "(N or 1, heads or 1, L or 1, S or 1)")
        .attr("scale", &A::scale, "factor of the scores")
        .attr("mask", &A::mask, "'none', 'causal' or 'array'")
        .attr("sinks", &A::sinks, "whether sinks take their part");
  };
  described(
      ops.opaque<Attrs>("attention")
          .summary(
              "softmax(scale * q @ k.T + mask) @ v, with the largest score of each query and the sum of exponentials below it."))
      .input("sinks", dtypes::floating, "(N or 1, heads or 1)")
      .infer(infer_attention)
      .check(check_attention)
      .vjp(vjp_attention)
      .jvp(jvp_attention)
      .vmap(vmap_attention);
  described(ops.opaque<VjpAttrs>("attention_vjp")
                .summary("Cotangents of q, k and v of attention, whose weights are computed once more."))
      .input("most", dtypes::floating, "(N, heads, L)")
      .input("total", dtypes::floating, "(N, heads, L)")
      .input("delta", dtypes::floating, "(N, heads, L)")
      .input("cotangent", dtypes::floating, "(N, heads, L, Dv)")
      .input("result", dtypes::floating, "(N, heads, L, Dv)")
      .attr("delta_of_result", &VjpAttrs::delta_of_result, "whether delta is the sum of cotangent * result")
      .version(2)
      .infer(infer_attention_vjp)
      .check(check_attention_vjp)
      .vjp(vjp_attention_vjp)
      .jvp(jvp_attention_vjp)
      .vmap(vmap_attention_vjp);
}

}  // namespace plait
