#include "ops/packed_products.h"
#include "ops/prelude.h"

namespace plait {
namespace {

using quant::Format;
using quant::Packed;
using quant::ProductAttrs;

Avals infer_product(const ProductAttrs& attrs, std::span<const Aval> in) {
  Aval out = in[0];
  out.shape.back() = attrs.columns(in[1].shape);
  return {out};
}

template <bool kAffine>
const char* check_batches(const ProductAttrs& attrs, std::span<const Aval> in) {
  if (const char* accepts = quant::check_product(attrs, in, kAffine)) return accepts;
  const Shape &x = in[0].shape, &words = in[1].shape;
  return x.rank() == words.rank() && agree(x, 0, words, 0, x.rank() - 2) ? nullptr : "batches of equal extents";
}

Array apply(const ProductAttrs& attrs, const Array& x, const Packed& w) {
  static const OpHandle affine("affine_matmul"), microscaled("microscaled_matmul");
  if (attrs.format().affine()) return affine(attrs, {x, w.words, w.scales, w.biases});
  return microscaled(attrs, {x, w.words, w.scales});
}

Grads vjp_product(const ProductAttrs& attrs, const VjpArgs& at) {
  Grads grads(at.node.inputs.size());
  if (at.needed[0]) grads[0] = apply(attrs.turned(), at.cotangent(), packed_of(attrs, at.node.inputs));
  if (!attrs.format().affine() || (!at.needed[2] && !at.needed[3])) return grads;
  const Arrays parts = quant::cotangents_of_matrices(attrs, at.cotangent(), at.input(0), at.input(1), at.input(2));
  if (at.needed[2]) grads[2] = parts[0];
  if (at.needed[3]) grads[3] = parts[1];
  return grads;
}

Arrays jvp_product(const ProductAttrs& attrs, const JvpArgs& at) {
  return {quant::tangent_of_product(attrs, at, [&](const Array& x, const Packed& w) { return apply(attrs, x, w); })};
}

VmapResult vmap_product(const ProductAttrs& attrs, const VmapArgs& at) {
  const bool shared = std::all_of(at.axes.begin() + 1, at.axes.end(), [](int axis) { return axis == kUnbatched; });
  // One matrix for all examples: their rows are rows of one product.
  if (shared && at.inputs[1].rank() == 2)
    return {{quant::product(attrs.format(), batch_first(at, 0), packed_of(attrs, at.inputs), attrs.transpose)}, {0}};
  Arrays in;
  for (int i = 0; i < static_cast<int>(at.inputs.size()); ++i) in.push_back(batch_first_broadcast(at, i));
  return {{apply(attrs, in[0], packed_of(attrs, in))}, {0}};
}

Shape batch_of(const Array& a) {
  Shape out;
  for (int i = 0; i + 2 < a.rank(); ++i) out.push_back(a.shape()[i]);
  return out;
}
Array with_batch(const Array& a, const Shape& batch) {
  if (!a.defined()) return a;
  Shape shape = batch;
  shape.push_back(a.dim(-2));
  shape.push_back(a.dim(-1));
  return broadcast_to(a, shape);
}

}  // namespace

namespace quant {

Array product(const Format& format, const Array& x, const Packed& w, bool transpose) {
  if (x.rank() == 1 && w.words.rank() > 2) return squeeze(product(format, expand_dims(x, 0), w, transpose), -2);
  const ProductAttrs attrs{format.mode, format.bits, format.group_size, transpose};
  if (w.words.rank() == 2 && x.rank() != 2) {
    Dim rows = 1;
    for (int i = 0; i + 1 < x.rank(); ++i) rows *= x.shape()[i];
    const Array flat = apply(attrs, reshape(x, {rows, x.dim(-1)}), w);
    Shape shape = x.shape();
    shape.back() = flat.dim(-1);
    return reshape(flat, shape);
  }
  const Shape batch = broadcast_shapes("quantized_matmul", batch_of(x), batch_of(w.words));
  return apply(attrs, with_batch(x, batch),
               {with_batch(w.words, batch), with_batch(w.scales, batch), with_batch(w.biases, batch)});
}

}  // namespace quant

Array quantized_matmul(const Array& x, const Array& w, const Array& scales, const std::optional<Array>& biases,
                       bool transpose, std::optional<int64_t> group_size, std::optional<int64_t> bits,
                       std::string_view mode) {
  const Format format = quant::checked_format("quantized_matmul", mode, group_size, bits);
  const auto [left, right] = quant::checked_operands("quantized_matmul", format, x, w, scales, biases, transpose);
  return quant::product(format, left, right, transpose);
}

void register_quantized_matmul(OpRegistry& ops) {
  const auto described = [](auto&& builder) {
    quant::describe_attrs(builder);
    builder.infer(infer_product).vjp(vjp_product).jvp(jvp_product).vmap(vmap_product);
  };
  described(ops.opaque<ProductAttrs>("affine_matmul")
                .summary("A product with a matrix that is packed in mode affine.")
                .input("x", dtypes::floating, "(batch..., m, k)")
                .input("w", dtype_bit(DType::uint32), "(batch..., rows, words)")
                .input("scales", dtypes::floating, "(batch..., rows, groups)")
                .input("biases", dtypes::floating, "(batch..., rows, groups)")
                .check(check_batches<true>));
  described(ops.opaque<ProductAttrs>("microscaled_matmul")
                .summary("A product with a matrix that is packed in a microscaled mode.")
                .input("x", dtypes::floating, "(batch..., m, k)")
                .input("w", dtype_bit(DType::uint32), "(batch..., rows, words)")
                .input("scales", dtype_bit(DType::uint8), "(batch..., rows, groups)")
                .check(check_batches<false>));
  ops.function("quantized_matmul")
      .signature(
          "(x: array, w: array, /, scales: array, biases: array | None = None, transpose: bool = True, group_size: int | None = None, bits: int | None = None, mode: str = 'affine', *, stream: StreamOrDevice = None) -> array")
      .summary("The product of x and a packed matrix, whose numbers are unpacked on the way.")
      .details(
          "Shapes: x (..., m, k) and a packed matrix (..., n, k), transposed, or (..., k, n) where transpose is False -> (..., m, n); leading "
          "axes broadcast. Formats are those of quantize. Dtype: in mode affine that of x, scales and biases, promoted, else that of x; sums are taken in "
          "float32. Gradients: for x, scales and biases of floats. Errors: ValueError for shapes, dtypes or formats that do not fit.")
      .oracle("oracle.quantized_matmul(x, w, scales, biases, transpose, group_size, bits, mode)")
      .sample("(2, 64), words(3, 8), (3, 1), (3, 1)")
      .sample("(3,), words(3, 8), (3, 1), (3, 1)", "transpose=False")
      .sample("(2, 1, 2, 64), words(3, 2, 6), (3, 2, 2), (3, 2, 2)", "group_size=32, bits=3")
      .sample("(2, 2), words(2, 8), (2, 1), (2, 1)", "transpose=False")
      .sample("(2, 64), words(3, 8), exponents(3, 2)", "mode='mxfp4'")
      .sample("(2, 3), words(3, 8), exponents(3, 4)", "transpose=False, mode='nvfp4'")
      .sample("(0, 64), words(3, 8), (3, 1), (3, 1)")
      .rejects("(2, 63), words(3, 8), (3, 1), (3, 1)", "", "ShapeError")
      .rejects("(2, 64), words(3, 8), (3, 1)", "", "ArgumentError")
      .rejects("(2, 64), (3, 8), (3, 1), (3, 1)", "", "DTypeError");
}

}  // namespace plait
