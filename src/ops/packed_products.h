#pragma once

#include <functional>
#include <span>
#include <string>

#include "graph/op.h"
#include "ops/packed.h"

/// What products with packed matrices share, those of all matrices and those of picked ones: attributes, checks and rules.
namespace plait::quant {

/// Matrices x (..., m, k) and packed ones behind them: (..., n, k) where `transpose`, else (..., k, n).
struct ProductAttrs {
  std::string mode;
  int64_t bits = 0, group_size = 0;
  bool transpose = true;

  Format format() const { return {mode, bits, group_size}; }
  /// Of the product that gives x its cotangent.
  ProductAttrs turned() const { return {mode, bits, group_size, !transpose}; }
  /// n, from the shape of the words.
  Dim columns(const Shape& words) const { return transpose ? words[words.rank() - 2] : format().numbers(words.back()); }
};

/// The packed matrices among the inputs of a product, of which x is the first.
Packed packed_of(const ProductAttrs& attrs, std::span<const Array> inputs);

/// For `check`: null when x and the packed matrices fit each other and the mode, but for their leading axes.
const char* check_product(const ProductAttrs& attrs, std::span<const Aval> in, bool affine);

/// The tangent of what `multiply` makes of x and packed matrices: it is linear in x, and in scales and biases.
using Multiply = std::function<Array(const Array& x, const Packed& w)>;
Array tangent_of_product(const ProductAttrs& attrs, const JvpArgs& at, const Multiply& multiply);

/// The cotangents of scales and biases (mode affine) of packed matrices that met x, from that of the result.
Arrays cotangents_of_matrices(const ProductAttrs& attrs, const Array& cotangent, const Array& x, const Array& words,
                              const Array& scales);

/// Says of an op with these attributes what they mean.
template <class Builder>
void describe_attrs(Builder& builder) {
  builder.attr("mode", &ProductAttrs::mode, "how the matrices are packed")
      .attr("bits", &ProductAttrs::bits, "bits of a code")
      .attr("group_size", &ProductAttrs::group_size, "numbers that share a scale")
      .attr("transpose", &ProductAttrs::transpose, "whether rows of the matrices meet rows of x");
}

/// x (..., m, k) times packed matrices (..., n, k), transposed, or (..., k, n). Leading axes broadcast.
Array product(const Format& format, const Array& x, const Packed& w, bool transpose);
/// The same of matrices picked by position in the flattened axes before the last two; without positions all of them, in their order.
/// Positions broadcast. Errors: DTypeError naming `op`; IndexError while evaluating.
Array gathered_product(std::string_view op, const Format& format, const Array& x, const std::optional<Array>& lhs,
                       const Packed& w, const std::optional<Array>& rhs, bool transpose);

/// x and a packed matrix for it, in mode affine of one dtype.
struct Operands {
  Array x;
  Packed w;
};
/// Errors: as checked_packed.
Operands checked_operands(std::string_view op, const Format& format, const Array& x, const Array& words,
                          const Array& scales, const std::optional<Array>& biases, bool transpose);

}  // namespace plait::quant
