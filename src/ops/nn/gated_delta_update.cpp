#include "ops/prelude.h"
#include "plait/control_flow.h"

namespace plait {
namespace {

constexpr const char* kName = "gated_delta_update";

struct Extents {
  Dim batch, length, shared, group, dk, dv;  // `group` value heads share one of q and k

  Dim heads() const { return shared * group; }
};

[[noreturn]] void reject(const char* what, const Array& a, std::string accepts) {
  throw ShapeError({.op = kName,
                    .got = std::string(what) + " of shape " + to_string(a.shape()),
                    .accepts = std::move(accepts),
                    .where = here()});
}

bool has_shape(const Array& a, const Shape& shape) {
  bool same = a.rank() == shape.rank();
  for (int i = 0; same && i < shape.rank(); ++i) same = a.shape()[i] == shape[i];
  return same;
}

void check_shape(const char* what, const Array& a, const Shape& shape, const char* meaning) {
  if (!has_shape(a, shape)) reject(what, a, std::string(meaning) + ", " + to_string(shape));
}

Extents checked_extents(const Array& q, const Array& k, const Array& v, const Array& gamma, const Array& beta,
                        const std::optional<Array>& state, const std::optional<Array>& mask) {
  if (q.rank() != 4) reject("q", q, "4 axes: (batch, length, heads, features)");
  check_shape("k", k, q.shape(), "the shape of q");
  if (v.rank() != 4) reject("v", v, "4 axes: (batch, length, value heads, features)");
  Extents n{q.dim(0), q.dim(1), q.dim(2), 1, q.dim(3), v.dim(3)};
  if (!(v.dim(0) == n.batch) || !(v.dim(1) == n.length)) reject("v", v, "the batch and length of q");
  const Dim heads = v.dim(2);
  if (!(heads == n.shared)) {
    if (n.shared == 0 || !(heads % n.shared == 0)) reject("v", v, "heads that are a multiple of those of q and k");
    n.group = heads / n.shared;
  }
  if (gamma.rank() == 4)
    check_shape("gamma", gamma, {n.batch, n.length, heads, n.dk}, "a number for each value head, or for each feature");
  else
    check_shape("gamma", gamma, {n.batch, n.length, heads}, "a number for each value head");
  check_shape("beta", beta, {n.batch, n.length, heads}, "a number for each value head");
  if (state) check_shape("initial_state", *state, {n.batch, heads, n.dv, n.dk}, "(batch, value heads, Dv, Dk)");
  if (mask) check_shape("mask", *mask, {n.batch, n.length}, "(batch, length)");
  return n;
}

DType real_float(const char* what, DType d) {
  const DType out = at_least_float(d);
  if (!is_floating(out))
    throw DTypeError({.op = kName,
                      .got = std::string(what) + " of " + std::string(name_of(d)),
                      .accepts = "real numbers",
                      .where = here()});
  return out;
}

/// One time step, of arrays that have an axis for each of (batch, shared heads, group, Dv, Dk).
struct Gates {
  Array q, k, v, gamma, beta;
};

/// The state behind the step and, without its last axis, what the query reads from it.
std::pair<Array, Array> step(const Array& state, const Gates& at) {
  const Array kept = multiply(state, at.gamma);
  const Array recalled = sum(multiply(kept, at.k), -1, true);
  const Array change = multiply(subtract(at.v, recalled), at.beta);
  const Array next = add(kept, multiply(change, at.k));
  return {next, sum(multiply(next, at.q), -1, false)};
}

}  // namespace

namespace fast {

Arrays gated_delta_update(const Array& q, const Array& k, const Array& v, const Array& gamma, const Array& beta,
                          const std::optional<Array>& initial_state, const std::optional<Array>& mask) {
  const Extents n = checked_extents(q, k, v, gamma, beta, initial_state, mask);
  const DType out = real_float("q, k and v", promote(promote(q.dtype(), k.dtype()), v.dtype()));
  DType wide = promote(DType::float32, promote(out, promote(gamma.dtype(), beta.dtype())));
  if (initial_state) wide = promote(wide, initial_state->dtype());
  wide = real_float("arguments", wide);

  // Time comes first, then an axis for each of (batch, shared heads, group, Dv, Dk): heads that share keys do so by broadcasting.
  const auto timed = [&](const Array& a, const Shape& shape) {
    return moveaxis(reshape(converted(a, wide), shape), 1, 0);
  };
  const Dim b = n.batch, t = n.length, h = n.shared, g = n.group;
  Arrays sequences{timed(q, {b, t, h, 1, 1, n.dk}), timed(k, {b, t, h, 1, 1, n.dk}), timed(v, {b, t, h, g, n.dv, 1}),
                   timed(gamma, {b, t, h, g, 1, gamma.rank() == 4 ? n.dk : Dim(1)}), timed(beta, {b, t, h, g, 1, 1})};
  if (mask) sequences.push_back(moveaxis(reshape(converted(*mask, DType::bool_), {b, t, 1, 1, 1, 1}), 1, 0));

  const Shape states{b, h, g, n.dv, n.dk};
  const Array first = initial_state ? reshape(converted(*initial_state, wide), states) : zeros(states, wide);
  const auto body = [](const Arrays& carry, const Arrays& x) -> std::pair<Arrays, Arrays> {
    auto [next, read] = step(carry[0], {x[0], x[1], x[2], x[3], x[4]});
    if (x.size() > 5) {
      next = where(x[5], next, carry[0]);
      read = where(squeeze(x[5], -1), read, Array(Scalar(0.0), read.dtype()));
    }
    return {{next}, {read}};
  };
  const auto [last, reads] = scan(body, {first}, sequences);
  const Array y = reshape(moveaxis(reads[0], 0, 1), {b, t, n.heads(), n.dv});
  return {converted(y, out), reshape(last[0], {b, n.heads(), n.dv, n.dk})};
}

}  // namespace fast

void register_gated_delta_update(OpRegistry& ops) {
  ops.function("gated_delta_update")
      .module("core.fast")
      .signature(
          "(q: array, k: array, v: array, gamma: array, beta: array, initial_state: array | None = None, mask: array | None = None, stream: StreamOrDevice = None) -> list[array]")
      .summary("The gated delta rule: attention by a state for each head, which decays and is corrected in each step.")
      .details(
          "In step t of each head, from S = initial_state, or 0: S = gamma * S; S = S + beta * (v - S @ k) k^T; the output is S @ q.\n"
          "Shapes: q, k (N, T, Hk, Dk), v (N, T, Hv, Dv), gamma (N, T, Hv), or (N, T, Hv, Dk) for a rate of its own for each feature, beta (N, T, Hv), initial_state (N, Hv, Dv, Dk), mask (N, T) -> the outputs (N, T, Hv, Dv) and the last state (N, Hv, Dv, Dk). Hk divides Hv: neighbouring heads of v share one of q and k.\n"
          "mask: a step where it is false leaves the state as it is, and its output is 0.\n"
          "Dtypes: the one that q, k and v promote to, float32 for integers; the state is computed in and returned as float32, float64 where an argument is.\n"
          "Time grows with T, memory too: a gradient keeps the state of each step. Errors: ValueError for shapes that do not fit and for complex numbers.\n"
          "Source: Yang et al., 2024, \"Gated Delta Networks: Improving Mamba2 with Delta Rule\".")
      .oracle("oracle.gated_delta_update(q, k, v, gamma, beta, initial_state, mask)")
      .domain("(-1, 1)")
      .sample("(2, 3, 1, 2), (2, 3, 1, 2), (2, 3, 2, 3), (2, 3, 2), (2, 3, 2)")
      .sample("(1, 2, 2, 3), (1, 2, 2, 3), (1, 2, 2, 2), (1, 2, 2, 3), (1, 2, 2), (1, 2, 2, 3)")
      .sample(
          "(2, 3, 1, 2), (2, 3, 1, 2), (2, 3, 1, 2), (2, 3, 1), (2, 3, 1), (2, 1, 2, 2), [[True, False, True], [False, True, True]]")
      .sample("(1, 0, 1, 2), (1, 0, 1, 2), (1, 0, 1, 2), (1, 0, 1), (1, 0, 1), (1, 1, 2, 2)")
      .rejects("(), (2, 3, 1, 2), (2, 3, 1, 2), (2, 3, 1), (2, 3, 1)", "", "ValueError")
      .rejects("(3, 1, 2), (2, 3, 1, 2), (2, 3, 1, 2), (2, 3, 1), (2, 3, 1)", "", "ValueError")
      .rejects("(2, 3, 1, 2), (2, 2, 1, 2), (2, 3, 1, 2), (2, 3, 1), (2, 3, 1)", "", "ValueError")
      .rejects("(2, 3, 2, 2), (2, 3, 2, 2), (2, 3, 3, 2), (2, 3, 3), (2, 3, 3)", "", "ValueError")
      .rejects("(2, 3, 0, 2), (2, 3, 0, 2), (2, 3, 1, 2), (2, 3, 1), (2, 3, 1)", "", "ValueError")
      .rejects("(2, 3, 1, 2), (2, 3, 1, 2), (2, 3, 1, 2), (2, 3, 2), (2, 3, 1)", "", "ValueError")
      .rejects("(2, 3, 1, 2), (2, 3, 1, 2), (2, 3, 1, 2), (2, 3, 1), (2, 3)", "", "ValueError")
      .rejects("(2, 3, 1, 2), (2, 3, 1, 2), (2, 3, 1, 2), (2, 3, 1), (2, 3, 1), (2, 1, 2, 3)", "", "ValueError");
}

}  // namespace plait
