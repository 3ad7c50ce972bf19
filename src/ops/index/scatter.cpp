#include "ops/index/scatter.h"

#include "ops/create/iota.h"
#include "ops/prelude.h"
#include "ops/scan/scan.h"

namespace plait {
namespace {

/// a (batch..., n, rest...), at (batch..., m), update (batch..., m, rest...).
struct ScatterAttrs {
  int mode = 0;
  int batch = 0;
};

ScatterMode mode_of(const ScatterAttrs& attrs) { return static_cast<ScatterMode>(attrs.mode); }

Avals infer_scatter(const ScatterAttrs&, std::span<const Aval> in) { return {in[0]}; }

const char* check_scatter(const ScatterAttrs& attrs, std::span<const Aval> in) {
  const Shape &a = in[0].shape, &at = in[1].shape, &update = in[2].shape;
  const int batch = attrs.batch;
  if (attrs.mode < 0 || attrs.mode > static_cast<int>(ScatterMode::minimum)) return "a mode from 0 to 4";
  if (in[2].dtype != in[0].dtype) return "an update of the array's dtype";
  if (batch < 0 || batch >= a.rank() || at.rank() != batch + 1 || update.rank() != a.rank())
    return "an array (batch..., n, rest...), positions (batch..., m) and an update (batch..., m, rest...)";
  const int rest = a.rank() - batch - 1;
  return agree(a, 0, at, 0, batch) && agree(at, 0, update, 0, batch + 1) && agree(a, batch + 1, update, batch + 1, rest)
             ? nullptr
             : "equal extents of the batch, the positions and the rest";
}

Array scatter(const ScatterAttrs& attrs, ScatterMode mode, const Array& a, const Array& at, const Array& update) {
  return scatter_rows_batched(a, at, update, mode, attrs.batch);
}

Array rows_at(const ScatterAttrs& attrs, const Array& a, const Array& at) { return take_batched(a, at, attrs.batch); }

// (batch..., m) with 1 where row i of the update is the last one written to its place, stretched over the rest.
Array last_writes(const ScatterAttrs& attrs, const Shape& shape, const Array& at, const Shape& update) {
  Shape heads;
  for (int i = 0; i <= attrs.batch; ++i) heads.push_back(shape[i]);
  const Array order = broadcast_to(iota(at.dim(-1), DType::int32), at.shape());
  const Array last = scatter(attrs, ScatterMode::set, zeros(heads, DType::int32), at, order);
  const Array won = equal(rows_at(attrs, last, at), order);
  Shape ones = at.shape();
  for (int i = attrs.batch + 1; i < update.rank(); ++i) ones.push_back(1);
  return reshape(won, ones);
}

// Positions counted from the front, so that those of one place are equal.
Array places(const Array& at, Dim n) {
  if (is_in(at.dtype(), dtypes::unsigned_integer)) return at;
  const Array wide = size_of(at.dtype()) < 4 ? astype(at, DType::int32) : at;
  return where(less(wide, zeros_like(wide)), add(wide, extent(n, wide.dtype())), wide);
}

// For multiply: for each row of the update, the product of what else was written to its place, before it and behind it. Without a
// quotient it is right where factors are 0, and so are its own derivatives.
Array other_factors(const ScatterAttrs& attrs, Dim n, const Array& at, const Array& update) {
  const Array factors = is_half(update.dtype()) ? converted(update, DType::float32) : update;
  const Array place = places(at, n), order = argsort(place, -1);
  const Array groups = rows_at(attrs, place, order), rows = rows_at(attrs, factors, order);
  const Array others = multiply(products_within(groups, rows, false), products_within(groups, rows, true));
  return converted(rows_at(attrs, others, argsort(order, -1)), update.dtype());
}

// For maximum and minimum: who holds the result, and how many share it.
struct Shares {
  Array old, written, count;
};

Shares shares(const ScatterAttrs& attrs, const Array& a, const Array& at, const Array& update, const Array& out) {
  Shares s;
  s.old = astype(equal(a, out), out.dtype());
  s.written = astype(equal(update, rows_at(attrs, out, at)), out.dtype());
  s.count = scatter(attrs, ScatterMode::add, s.old, at, s.written);
  return s;
}

Grads vjp_scatter(const ScatterAttrs& attrs, const VjpArgs& at) {
  Grads grads(3);
  const Array &g = at.cotangent(), &to = at.input(1), &update = at.input(2);
  switch (mode_of(attrs)) {
    case ScatterMode::set:
      if (at.needed[0]) grads[0] = scatter(attrs, ScatterMode::set, g, to, zeros(update.shape(), g.dtype()));
      if (at.needed[2]) {
        const Array read = rows_at(attrs, g, to);
        grads[2] = where(last_writes(attrs, at.input_shape(0), to, update.shape()), read, zeros_like(read));
      }
      break;
    case ScatterMode::add:
      if (at.needed[0]) grads[0] = g;
      if (at.needed[2]) grads[2] = rows_at(attrs, g, to);
      break;
    case ScatterMode::multiply:
      if (at.needed[0]) grads[0] = multiply(g, scatter(attrs, ScatterMode::multiply, ones_like(g), to, update));
      if (at.needed[2])
        grads[2] = multiply(rows_at(attrs, multiply(g, at.input(0)), to),
                            other_factors(attrs, at.input_shape(0)[attrs.batch], to, update));
      break;
    case ScatterMode::maximum:
    case ScatterMode::minimum: {
      const Shares s = shares(attrs, at.input(0), to, update, at.output());
      const Array part = divide(g, s.count);
      if (at.needed[0]) grads[0] = multiply(part, s.old);
      if (at.needed[2]) grads[2] = multiply(rows_at(attrs, part, to), s.written);
      break;
    }
  }
  return grads;
}

Arrays jvp_scatter(const ScatterAttrs& attrs, const JvpArgs& in) {
  const Array &a = in.input(0), &to = in.input(1), &update = in.input(2);
  const Array old = in.tangent(0).defined() ? in.tangent(0) : zeros_like(a);
  const Array written = in.tangent(2).defined() ? in.tangent(2) : zeros_like(update);
  switch (mode_of(attrs)) {
    case ScatterMode::set:
    case ScatterMode::add: return {scatter(attrs, mode_of(attrs), old, to, written)};
    case ScatterMode::multiply: {
      const Array factors = scatter(attrs, ScatterMode::multiply, ones_like(a), to, update);
      const Array change =
          multiply(multiply(rows_at(attrs, a, to), other_factors(attrs, a.shape()[attrs.batch], to, update)), written);
      return {scatter(attrs, ScatterMode::add, multiply(old, factors), to, change)};
    }
    case ScatterMode::maximum:
    case ScatterMode::minimum: {
      const Shares s = shares(attrs, a, to, update, in.output());
      return {
          divide(scatter(attrs, ScatterMode::add, multiply(old, s.old), to, multiply(written, s.written)), s.count)};
    }
  }
  return {Array()};
}

VmapResult vmap_scatter(const ScatterAttrs& attrs, const VmapArgs& at) {
  return {{scatter_rows_batched(batch_first_broadcast(at, 0), batch_first_broadcast(at, 1),
                                batch_first_broadcast(at, 2), mode_of(attrs), attrs.batch + 1)},
          {0}};
}

}  // namespace

Array scatter_rows_batched(const Array& a, const Array& at, const Array& update, ScatterMode mode, int batch) {
  static const OpHandle op("scatter_rows");
  return op(ScatterAttrs{static_cast<int>(mode), batch}, {a, at, update});
}

Array scatter_rows(const Array& a, const Array& at, const Array& update, ScatterMode mode) {
  return scatter_rows_batched(a, at, update, mode, 0);
}

void register_scatter(OpRegistry& ops) {
  ops.opaque<ScatterAttrs>("scatter_rows")
      .summary("A copy in which rows are combined with those of an update, in order.")
      .input("a")
      .input("at", dtypes::integer, "positions of the rows; negative counts from the end")
      .input("update", dtypes::any, "one row for each position, dtype of a")
      .attr("mode", &ScatterAttrs::mode, "0 set, 1 add, 2 multiply, 3 maximum, 4 minimum")
      .attr("batch", &ScatterAttrs::batch, "leading axes that all share")
      .infer(infer_scatter)
      .check(check_scatter)
      .vjp(vjp_scatter)
      .jvp(jvp_scatter)
      .vmap(vmap_scatter);
}

}  // namespace plait
