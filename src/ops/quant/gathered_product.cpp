#include "ops/create/iota.h"
#include "ops/index/scatter.h"
#include "ops/packed_products.h"
#include "ops/prelude.h"

namespace plait {
namespace {

using quant::Format;
using quant::Packed;
using quant::ProductAttrs;

// Matrices x (a, m, k) and packed ones (e, rows, words); positions lhs and rhs (b,) -> (b, m, n).
Avals infer_gathered(const ProductAttrs& attrs, std::span<const Aval> in) {
  return {{Shape{in.back().shape[0], in[0].shape[1], attrs.columns(in[1].shape)}, in[0].dtype}};
}

template <bool kAffine>
const char* check_gathered(const ProductAttrs& attrs, std::span<const Aval> in) {
  if (const char* accepts = quant::check_product(attrs, in, kAffine)) return accepts;
  if (in[0].shape.rank() != 3 || in[1].shape.rank() != 3) return "matrices behind one axis";
  const Shape &lhs = in[in.size() - 2].shape, &rhs = in.back().shape;
  return lhs.rank() == 1 && lhs == rhs ? nullptr : "a position of x for each of the packed matrices";
}

struct Parts {
  Array x;
  Packed w;
  Array lhs, rhs;
};

Parts parts_of(const ProductAttrs& attrs, std::span<const Array> in) {
  return {in[0], packed_of(attrs, in), in[in.size() - 2], in.back()};
}

Array apply(const ProductAttrs& attrs, const Parts& in) {
  static const OpHandle affine("affine_gathered_matmul"), microscaled("microscaled_gathered_matmul");
  if (attrs.format().affine()) return affine(attrs, {in.x, in.w.words, in.w.scales, in.w.biases, in.lhs, in.rhs});
  return microscaled(attrs, {in.x, in.w.words, in.w.scales, in.lhs, in.rhs});
}

// What each product gives to the matrix that it picked.
Array returned(const Array& of_each, const Array& at, const Array& like) {
  return scatter_rows(zeros_like(like), at, of_each, ScatterMode::add);
}

Grads vjp_gathered(const ProductAttrs& attrs, const VjpArgs& at) {
  Grads grads(at.node.inputs.size());
  const Parts in = parts_of(attrs, at.node.inputs);
  const Array& g = at.cotangent();
  if (at.needed[0])
    grads[0] = returned(apply(attrs.turned(), {g, in.w, iota(g.dim(0), DType::int64), in.rhs}), in.lhs, in.x);
  if (!attrs.format().affine() || (!at.needed[2] && !at.needed[3])) return grads;
  const Arrays parts = quant::cotangents_of_matrices(attrs, g, take(in.x, in.lhs, 0), take(in.w.words, in.rhs, 0),
                                                     take(in.w.scales, in.rhs, 0));
  if (at.needed[2]) grads[2] = returned(parts[0], in.rhs, in.w.scales);
  if (at.needed[3]) grads[3] = returned(parts[1], in.rhs, in.w.biases);
  return grads;
}

Arrays jvp_gathered(const ProductAttrs& attrs, const JvpArgs& at) {
  const Parts in = parts_of(attrs, at.inputs);
  return {quant::tangent_of_product(
      attrs, at, [&](const Array& x, const Packed& w) { return apply(attrs, {x, w, in.lhs, in.rhs}); })};
}

// Of a batch the picked matrices are copied.
VmapResult vmap_gathered(const ProductAttrs& attrs, const VmapArgs& at) {
  Arrays all;
  for (int i = 0; i < static_cast<int>(at.inputs.size()); ++i) all.push_back(batch_first_broadcast(at, i));
  const Parts in = parts_of(attrs, all);
  const auto picked = [](const Array& a, const Array& positions) {
    return a.defined() ? take_batched(a, positions, 1) : a;
  };
  return {{quant::product(attrs.format(), picked(in.x, in.lhs),
                          {picked(in.w.words, in.rhs), picked(in.w.scales, in.rhs), picked(in.w.biases, in.rhs)},
                          attrs.transpose)},
          {0}};
}

Array matrices_of(const Array& a) {
  if (!a.defined()) return a;
  return a.rank() == 2 ? expand_dims(a, 0) : flatten(a, 0, -3);
}

// Positions as they are given, else of all matrices in their order.
Array positions_of(std::string_view op, const std::optional<Array>& given, const Array& matrices) {
  if (given && !is_integer(given->dtype()))
    throw DTypeError({.op = std::string(op),
                      .got = "positions of dtype " + std::string(name_of(given->dtype())),
                      .accepts = "integers",
                      .hint = "astype(int32) converts",
                      .where = here()});
  if (given) return *given;
  Shape leading;
  for (int i = 0; i + 2 < matrices.rank(); ++i) leading.push_back(matrices.shape()[i]);
  return reshape(iota(leading.count(), DType::int64), leading);
}

}  // namespace

namespace quant {

Array gathered_product(std::string_view op, const Format& format, const Array& x, const std::optional<Array>& lhs,
                       const Packed& w, const std::optional<Array>& rhs, bool transpose) {
  if (!lhs && !rhs) return product(format, x, w, transpose);
  const Array left = positions_of(op, lhs, x), right = positions_of(op, rhs, w.words);
  Shape shape = broadcast_shapes(op, left.shape(), right.shape());
  const auto flat = [&](const Array& a) { return reshape(broadcast_to(a, shape), {shape.count()}); };
  const Packed matrices{matrices_of(w.words), matrices_of(w.scales), matrices_of(w.biases)};
  const Array out = apply({format.mode, format.bits, format.group_size, transpose},
                          {matrices_of(x), matrices, flat(left), flat(right)});
  shape.push_back(out.dim(-2));
  shape.push_back(out.dim(-1));
  return reshape(out, shape);
}

}  // namespace quant

void register_gathered_product(OpRegistry& ops) {
  const auto described = [](auto&& builder) {
    builder.input("lhs", dtypes::integer, "(b,), positions of matrices of x")
        .input("rhs", dtypes::integer, "(b,), positions of packed matrices");
    quant::describe_attrs(builder);
    builder.infer(infer_gathered).vjp(vjp_gathered).jvp(jvp_gathered).vmap(vmap_gathered);
  };
  described(ops.opaque<ProductAttrs>("affine_gathered_matmul")
                .summary("Products of picked matrices, the second packed in mode affine.")
                .input("x", dtypes::floating, "(a, m, k)")
                .input("w", dtype_bit(DType::uint32), "(e, rows, words)")
                .input("scales", dtypes::floating, "(e, rows, groups)")
                .input("biases", dtypes::floating, "(e, rows, groups)")
                .check(check_gathered<true>));
  described(ops.opaque<ProductAttrs>("microscaled_gathered_matmul")
                .summary("Products of picked matrices, the second packed in a microscaled mode.")
                .input("x", dtypes::floating, "(a, m, k)")
                .input("w", dtype_bit(DType::uint32), "(e, rows, words)")
                .input("scales", dtype_bit(DType::uint8), "(e, rows, groups)")
                .check(check_gathered<false>));
}

}  // namespace plait
