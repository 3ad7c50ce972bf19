#include "ops/prelude.h"

namespace plait {
namespace {

struct BitcastAttrs {
  DType dtype = DType::float32;
};

Avals infer_bitcast(const BitcastAttrs& attrs, std::span<const Aval> in) {
  Aval out{in[0].shape, attrs.dtype};
  const int from = size_of(in[0].dtype), to = size_of(attrs.dtype);
  if (from > to) out.shape.back() *= from / to;
  if (from < to) out.shape.back() = out.shape.back() / (to / from);
  return {out};
}

const char* check_bitcast(const BitcastAttrs& attrs, std::span<const Aval> in) {
  const int from = size_of(in[0].dtype), to = size_of(attrs.dtype);
  if (from == to) return nullptr;
  if (in[0].shape.rank() == 0) return "a dtype of the same size, or an axis to shorten or stretch";
  return from > to || in[0].shape.back() % (to / from) == 0 ? nullptr : "a last axis that holds whole elements";
}

bool view_bitcast(const BitcastAttrs& attrs, const Aval& in, const Strides& strides, const Aval&, ViewLayout& to) {
  const int from_size = size_of(in.dtype), to_size = size_of(attrs.dtype);
  to.strides = strides;
  if (from_size == to_size || in.shape.count().value() == 0) return true;
  if (strides.back() != 1 && in.shape.back().value() > 1) return false;
  for (int64_t& stride : to.strides) {
    if (stride * from_size % to_size != 0 && &stride != &to.strides.back()) return false;
    stride = stride * from_size / to_size;
  }
  to.strides.back() = 1;
  return from_size > to_size || is_row_major(in.shape, strides);  // wider elements need their alignment
}

VmapResult vmap_bitcast(const BitcastAttrs& attrs, const VmapArgs& at) {
  return {{view(batch_first(at, 0), attrs.dtype)}, {0}};
}

}  // namespace

Array view(const Array& a, DType dtype) {
  if (a.dtype() == dtype) return a;
  const int from = size_of(a.dtype()), to = size_of(dtype);
  if (from != to && a.rank() == 0)
    throw ShapeError({.op = "view",
                      .got = "a 0-d array of " + std::string(name_of(a.dtype())),
                      .accepts = "a dtype of the same size, or an axis to shorten or stretch",
                      .where = here()});
  if (from < to && !(a.shape().back() % (to / from) == 0))
    throw ShapeError({.op = "view",
                      .got = "a last axis of " + std::to_string(a.shape().back().value()) + " elements of " +
                             std::string(name_of(a.dtype())),
                      .accepts = "an extent that is a multiple of " + std::to_string(to / from),
                      .where = here()});
  static const OpHandle op("bitcast");
  return op(BitcastAttrs{dtype}, {a});
}

void register_bitcast(OpRegistry& ops) {
  ops.view<BitcastAttrs>("bitcast")
      .summary("The same bits read as another dtype.")
      .input("a")
      .attr("dtype", &BitcastAttrs::dtype, "dtype of the result")
      .infer(infer_bitcast)
      .check(check_bitcast)
      .view(view_bitcast)
      .vmap(vmap_bitcast)
      .not_differentiable("bits are reinterpreted");
  ops.function("view")
      .signature("(a: scalar | array, dtype: Dtype, stream: StreamOrDevice = None) -> array")
      .method("(dtype: Dtype, *, stream: StreamOrDevice = None) -> array")
      .summary("The same bits read as another dtype; the last axis grows or shrinks with the size of the elements.")
      .details("Errors: ValueError when the last axis does not hold whole elements.")
      .oracle("np.ascontiguousarray(a).view(dtype)")
      .not_differentiable("bits are reinterpreted")
      .sample("(2, 4)", "dtype=int32")
      .sample("(2, 3)", "dtype=uint8")
      .rejects("()", "dtype=uint8", "ValueError")
      .rejects("(2, 3)", "dtype=float64", "ShapeError");
}

}  // namespace plait
