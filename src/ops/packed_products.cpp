#include "ops/packed_products.h"

#include "ops/prelude.h"

namespace plait::quant {

Packed packed_of(const ProductAttrs& attrs, std::span<const Array> inputs) {
  return {inputs[1], inputs[2], attrs.format().affine() ? inputs[3] : Array()};
}

const char* check_product(const ProductAttrs& attrs, std::span<const Aval> in, bool affine) {
  const Format format = attrs.format();
  if (const char* accepts = check_format(format)) return accepts;
  if (format.affine() != affine) return affine ? "mode affine" : "a microscaled mode";
  if (affine && in[0].dtype != in[2].dtype) return "scales of the dtype of x";
  if (const char* accepts = check_packed(format, in.data() + 1)) return accepts;
  const Shape &x = in[0].shape, &words = in[1].shape;
  if (x.rank() < 2 || words.rank() < 2) return "matrices";
  return x.back() == (attrs.transpose ? format.numbers(words.back()) : words[words.rank() - 2])
             ? nullptr
             : "as many columns of x as the packed matrices have rows";
}

Array tangent_of_product(const ProductAttrs& attrs, const JvpArgs& at, const Multiply& multiply) {
  Array total;
  if (at.tangent(0).defined()) total = multiply(at.tangent(0), packed_of(attrs, at.inputs));
  if (!attrs.format().affine() || (!at.tangent(2).defined() && !at.tangent(3).defined())) return total;
  const auto part = [&](int i) { return at.tangent(i).defined() ? at.tangent(i) : zeros_like(at.input(i)); };
  const Array of_w = multiply(at.input(0), {at.input(1), part(2), part(3)});
  return total.defined() ? add(total, of_w) : of_w;
}

// The matrix is linear in scales and biases: its cotangent goes back to them as that of `dequantize` does.
Arrays cotangents_of_matrices(const ProductAttrs& attrs, const Array& cotangent, const Array& x, const Array& words,
                              const Array& scales) {
  const Array of_w = attrs.transpose ? matmul(matrix_transpose(cotangent), x) : matmul(matrix_transpose(x), cotangent);
  return cotangents_of_affine(attrs.format(), of_w, words, scales);
}

Operands checked_operands(std::string_view op, const Format& format, const Array& x, const Array& words,
                          const Array& scales, const std::optional<Array>& biases, bool transpose) {
  Packed w = checked_packed(op, format, words, scales, biases);
  const DType dtype = format.affine() ? promote(x.dtype(), w.scales.dtype()) : x.dtype();
  if (!is_floating(dtype))
    throw DTypeError({.op = std::string(op),
                      .got = "x of dtype " + std::string(name_of(x.dtype())),
                      .accepts = "floats",
                      .hint = "astype(float32) converts",
                      .where = here()});
  if (x.rank() < 1 || !(x.dim(-1) == (transpose ? format.numbers(words.dim(-1)) : words.dim(-2))))
    reject_shape(
        op,
        "x of shape " + to_string(x.shape()) + " and packed numbers of " +
            std::to_string(format.numbers(words.dim(-1)).value()) + " columns and " +
            std::to_string(words.dim(-2).value()) + " rows",
        transpose ? "a last axis of x as long as the rows of w" : "a last axis of x as long as the columns of w");
  if (!format.affine()) return {x, w};
  w.scales = converted(w.scales, dtype);
  w.biases = converted(w.biases, dtype);
  return {converted(x, dtype), w};
}

}  // namespace plait::quant
