#include "ops/prelude.h"

namespace plait {
namespace {

bool view_reshape(const ReshapeAttrs&, const Aval& in, const Strides& strides, const Aval& out, ViewLayout& to) {
  // Groups of input axes that lie behind each other in memory can be cut anew; others cannot.
  to.strides.assign(out.shape.size(), 0);
  if (out.shape.count_value() == 0) {
    to.strides = row_major_strides(out.shape);
    return true;
  }
  size_t i = 0, o = 0;
  const size_t n = in.shape.size(), m = out.shape.size();
  const auto in_extent = [&](size_t k) { return in.shape[k].value(); };
  const auto out_extent = [&](size_t k) { return out.shape[k].value(); };
  while (i < n || o < m) {
    while (i < n && in_extent(i) == 1) ++i;
    if (i == n) {
      for (; o < m; ++o) to.strides[o] = 1;
      break;
    }
    size_t i_end = i + 1, o_end = o;
    int64_t have = in_extent(i), want = 1;
    while (want != have || (o_end < m && out_extent(o_end) == 1)) {
      if (want < have || (want == have && o_end < m && out_extent(o_end) == 1)) {
        want *= out_extent(o_end++);
      } else {
        have *= in_extent(i_end++);
      }
    }
    for (size_t k = i; k + 1 < i_end; ++k) {  // the group has to be one run in memory
      size_t next = k + 1;
      while (next < i_end && in_extent(next) == 1) ++next;
      if (next == i_end) break;
      if (in_extent(k) != 1 && strides[k] != strides[next] * in_extent(next)) return false;
    }
    size_t last = i_end - 1;
    while (in_extent(last) == 1) --last;
    int64_t step = strides[last];
    for (size_t k = o_end; k-- > o;) {
      to.strides[k] = step;
      step *= out_extent(k);
    }
    i = i_end;
    o = o_end;
  }
  return true;
}

Avals infer_reshape(const ReshapeAttrs& attrs, std::span<const Aval> in) { return {{attrs.shape, in[0].dtype}}; }

const char* check_reshape(const ReshapeAttrs& attrs, std::span<const Aval> in) {
  if (!all_at_least(attrs.shape, 0)) return "extents of 0 and more";
  return attrs.shape.count() == in[0].shape.count() ? nullptr : "a shape with as many elements as the array";
}

Grads vjp_reshape(const ReshapeAttrs&, const VjpArgs& at) { return {reshape(at.cotangent(), at.input_shape(0))}; }

Arrays jvp_reshape(const ReshapeAttrs& attrs, const JvpArgs& at) { return {reshape(at.tangent(0), attrs.shape)}; }

VmapResult vmap_reshape(const ReshapeAttrs& attrs, const VmapArgs& at) {
  Shape shape{at.size};
  for (const Dim& d : attrs.shape) shape.push_back(d);
  return {{reshape(batch_first(at, 0), shape)}, {0}};
}

}  // namespace

Array reshape(const Array& a, const Shape& shape) {
  Shape out = shape;
  int unknown = -1;
  Dim known = 1;
  for (int i = 0; i < out.rank(); ++i) {
    if (out[i].expr() == 0 && out[i].value() == -1) {
      if (unknown >= 0)
        throw ShapeError({.op = "reshape",
                          .got = "more than one -1 in " + to_string(shape),
                          .accepts = "one extent left open",
                          .where = here()});
      unknown = i;
    } else {
      known *= out[i];
    }
  }
  const Dim count = a.shape().count();
  if (unknown >= 0) {
    const bool open = known == 0;
    if (open || !(known * (count / known) == count))
      throw ShapeError(
          {.op = "reshape",
           .got = "an array of shape " + to_string(a.shape()) + " cannot take the shape " + to_string(shape),
           .accepts = "known extents whose product divides " + std::to_string(count.value()),
           .where = here()});
    out[unknown] = count / known;
  } else if (!(known == count)) {
    throw ShapeError({.op = "reshape",
                      .got = "an array of shape " + to_string(a.shape()) + " has " + std::to_string(count.value()) +
                             " elements, the shape " + to_string(shape) + " holds " + std::to_string(known.value()),
                      .accepts = "a shape with the same number of elements",
                      .hint = "-1 for one extent lets plait compute it",
                      .where = here()});
  }
  if (out.size() == a.shape().size() && std::equal(out.begin(), out.end(), a.shape().begin())) return a;
  static const OpHandle op("reshape");
  return op(ReshapeAttrs{out}, {a});
}

void register_reshape(OpRegistry& ops) {
  ops.view<ReshapeAttrs>("reshape")
      .summary("The elements in row-major order under another shape.")
      .input("a")
      .attr("shape", &ReshapeAttrs::shape, "extents of the result")
      .infer(infer_reshape)
      .check(check_reshape)
      .view(view_reshape)
      .vjp(vjp_reshape)
      .jvp(jvp_reshape)
      .vmap(vmap_reshape);
  ops.function("reshape")
      .signature("(a: array, /, shape: Sequence[int], *, stream: StreamOrDevice = None) -> array")
      .method("(*shape, stream: StreamOrDevice = None) -> array")
      .summary("The elements in row-major order under another shape.")
      .details(
          "shape: extents with the same number of elements; one may be -1. Costs nothing where strides can express it. Errors: ValueError.")
      .oracle("np.reshape(a, shape)")
      .sample("(4, 6)", "shape=(2, 12)")
      .sample("(4, 6)", "shape=(-1,)")
      .sample("()", "shape=(1, 1)")
      .sample("(0, 3)", "shape=(3, 0)")
      .rejects("(4, 6)", "shape=(5, 5)", "ValueError");
}

}  // namespace plait
