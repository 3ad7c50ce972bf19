#include "ops/create/iota.h"
#include "ops/index/scatter.h"
#include "ops/packed.h"
#include "ops/prelude.h"

namespace plait {
namespace {

using quant::Format;
using quant::Packed;

/// Matrices x (a, m, k) and packed ones (e, n, k) where `transpose`, else (e, k, n); positions lhs and rhs (b,) -> (b, m, n).
struct GatheredAttrs {
  std::string mode;
  int64_t bits = 0, group_size = 0;
  bool transpose = true;

  Format format() const { return {mode, bits, group_size}; }
};

Avals infer_gathered(const GatheredAttrs& attrs, std::span<const Aval> in) {
  const Shape& words = in[1].shape;
  const Dim n = attrs.transpose ? words[1] : attrs.format().numbers(words[2]);
  return {{Shape{in.back().shape[0], in[0].shape[1], n}, in[0].dtype}};
}

const char* check_gathered(const GatheredAttrs& attrs, std::span<const Aval> in) {
  const Format format = attrs.format();
  if (const char* accepts = quant::check_format(format)) return accepts;
  if (const char* accepts = quant::check_packed(format, in.data() + 1)) return accepts;
  const Shape &x = in[0].shape, &words = in[1].shape, &lhs = in[in.size() - 2].shape, &rhs = in.back().shape;
  if (x.rank() != 3 || words.rank() != 3) return "batches of matrices";
  if (lhs.rank() != 1 || !(lhs == rhs)) return "a position of x for each of the packed matrices";
  return x.back() == (attrs.transpose ? format.numbers(words.back()) : words[1])
             ? nullptr
             : "as many columns of x as the packed matrices have rows";
}
const char* check_affine(const GatheredAttrs& attrs, std::span<const Aval> in) {
  if (!attrs.format().affine() || in[0].dtype != in[2].dtype) return "mode affine, scales of the dtype of x";
  return check_gathered(attrs, in);
}
const char* check_microscaled(const GatheredAttrs& attrs, std::span<const Aval> in) {
  return attrs.format().affine() ? "a microscaled mode" : check_gathered(attrs, in);
}

struct Parts {
  Array x;
  Packed w;
  Array lhs, rhs;
};

template <class Inputs>
Parts parts_of(const Inputs& in) {
  const size_t n = in.size();
  return {in[0], {in[1], in[2], n == 6 ? in[3] : Array()}, in[n - 2], in[n - 1]};
}

Array apply(const GatheredAttrs& attrs, const Parts& in) {
  static const OpHandle affine("affine_gathered_matmul"), microscaled("microscaled_gathered_matmul");
  if (attrs.format().affine()) return affine(attrs, {in.x, in.w.words, in.w.scales, in.w.biases, in.lhs, in.rhs});
  return microscaled(attrs, {in.x, in.w.words, in.w.scales, in.lhs, in.rhs});
}

// What each product gives to the matrix that it picked.
Array returned(const Array& of_each, const Array& at, const Array& like) {
  return scatter_rows(zeros_like(like), at, of_each, ScatterMode::add);
}

Grads vjp_gathered(const GatheredAttrs& attrs, const VjpArgs& at) {
  Grads grads(at.node.inputs.size());
  const Parts in = parts_of(at.node.inputs);
  const Array& g = at.cotangent();
  if (at.needed[0]) {
    GatheredAttrs turned = attrs;
    turned.transpose = !attrs.transpose;
    grads[0] = returned(apply(turned, {g, in.w, iota(g.dim(0), DType::int64), in.rhs}), in.lhs, in.x);
  }
  if (!attrs.format().affine() || (!at.needed[2] && !at.needed[3])) return grads;
  const Array x = take(in.x, in.lhs, 0);
  const Array of_w = attrs.transpose ? matmul(matrix_transpose(g), x) : matmul(matrix_transpose(x), g);
  const Arrays parts =
      quant::cotangents_of_affine(attrs.format(), of_w, take(in.w.words, in.rhs, 0), take(in.w.scales, in.rhs, 0));
  if (at.needed[2]) grads[2] = returned(parts[0], in.rhs, in.w.scales);
  if (at.needed[3]) grads[3] = returned(parts[1], in.rhs, in.w.biases);
  return grads;
}

Arrays jvp_gathered(const GatheredAttrs& attrs, const JvpArgs& at) {
  const Parts in = parts_of(at.inputs);
  Array total;
  if (at.tangent(0).defined()) total = apply(attrs, {at.tangent(0), in.w, in.lhs, in.rhs});
  if (attrs.format().affine() && (at.tangent(2).defined() || at.tangent(3).defined())) {
    const auto part = [&](int i) { return at.tangent(i).defined() ? at.tangent(i) : zeros_like(at.input(i)); };
    const Array of_w = apply(attrs, {in.x, {in.w.words, part(2), part(3)}, in.lhs, in.rhs});
    total = total.defined() ? add(total, of_w) : of_w;
  }
  return {total};
}

// Of a batch the picked matrices are copied.
VmapResult vmap_gathered(const GatheredAttrs& attrs, const VmapArgs& at) {
  Arrays all;
  for (int i = 0; i < static_cast<int>(at.inputs.size()); ++i) all.push_back(batch_first_broadcast(at, i));
  const Parts in = parts_of(all);
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
        .input("rhs", dtypes::integer, "(b,), positions of packed matrices")
        .attr("mode", &GatheredAttrs::mode, "how the matrices are packed")
        .attr("bits", &GatheredAttrs::bits, "bits of a code")
        .attr("group_size", &GatheredAttrs::group_size, "numbers that share a scale")
        .attr("transpose", &GatheredAttrs::transpose, "whether rows of the matrices meet rows of x")
        .infer(infer_gathered)
        .vjp(vjp_gathered)
        .jvp(jvp_gathered)
        .vmap(vmap_gathered);
  };
  described(ops.opaque<GatheredAttrs>("affine_gathered_matmul")
                .summary("Products of picked matrices, the second packed in mode affine.")
                .input("x", dtypes::floating, "(a, m, k)")
                .input("w", dtype_bit(DType::uint32), "(e, rows, words)")
                .input("scales", dtypes::floating, "(e, rows, groups)")
                .input("biases", dtypes::floating, "(e, rows, groups)")
                .check(check_affine));
  described(ops.opaque<GatheredAttrs>("microscaled_gathered_matmul")
                .summary("Products of picked matrices, the second packed in a microscaled mode.")
                .input("x", dtypes::floating, "(a, m, k)")
                .input("w", dtype_bit(DType::uint32), "(e, rows, words)")
                .input("scales", dtype_bit(DType::uint8), "(e, rows, groups)")
                .check(check_microscaled));
}

}  // namespace plait
