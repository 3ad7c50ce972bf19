#include "ops/packed_products.h"
#include "ops/prelude.h"

namespace plait {
using quant::Format;

Array gather_qmm(const Array& x, const Array& w, const Array& scales, const std::optional<Array>& biases,
                 const std::optional<Array>& lhs_indices, const std::optional<Array>& rhs_indices, bool transpose,
                 std::optional<int64_t> group_size, std::optional<int64_t> bits, std::string_view mode,
                 const std::optional<Array>& global_scale, bool) {
  const Format format = quant::checked_format("gather_qmm", mode, group_size, bits);
  const auto [left, right] = quant::checked_operands("gather_qmm", format, x, w, scales, biases, transpose);
  if (left.rank() < 2)
    quant::reject_shape("gather_qmm", "x of shape " + to_string(x.shape()), "(..., m, k)", "expand_dims adds an axis");
  const Array out = quant::gathered_product("gather_qmm", format, left, lhs_indices, right, rhs_indices, transpose);
  if (!global_scale) return out;
  const Array scale = quant::checked_global_scale("gather_qmm", format, *global_scale);
  return converted(multiply(converted(out, DType::float32), divide(scale, Array(448.0f * 6.0f))), out.dtype());
}

void register_gather_qmm(OpRegistry& ops) {
  ops.function("gather_qmm")
      .signature(
          "(x: array, w: array, /, scales: array, biases: array | None = None, lhs_indices: array | None = None, rhs_indices: array | None = None, transpose: bool = True, group_size: int | None = None, bits: int | None = None, mode: str = 'affine', global_scale: array | None = None, *, sorted_indices: bool = False, stream: StreamOrDevice = None) -> array")
      .summary("Products of picked matrices with picked packed ones: the layers of experts.")
      .details(
          "lhs_indices, rhs_indices: positions in the flattened leading axes of x and of w with its scales and biases; they broadcast. The rest "
          "is as in quantized_matmul. sorted_indices is a hint. Errors: ValueError; IndexError while evaluating.")
      .oracle("oracle.gather_qmm(x, w, scales, biases, lhs_indices, rhs_indices, transpose, group_size, bits, mode)")
      .sample("(3, 2, 64), words(5, 4, 8), (5, 4, 1), (5, 4, 1), [2, 0], [4, 1]")
      .sample("(3, 1, 64), words(3, 4, 8), exponents(3, 4, 2)", "mode='mxfp4'")
      .rejects("(64,), words(5, 4, 8), (5, 4, 1), (5, 4, 1)", "", "ShapeError")
      .rejects("(3, 2, 63), words(5, 4, 8), (5, 4, 1), (5, 4, 1)", "", "ShapeError");
}

}  // namespace plait
