#include "ops/packed_products.h"
#include "ops/prelude.h"

namespace plait {
namespace {

using quant::Format;
using quant::Packed;

// (x, value) -> value, with the derivative of x.
Avals infer_straight(const NoAttrs&, std::span<const Aval> in) { return {in[1]}; }

const char* check_straight(const NoAttrs&, std::span<const Aval> in) {
  return in[0].shape == in[1].shape && in[0].dtype == in[1].dtype ? nullptr : "two arrays of one shape and dtype";
}

Array straight_through(const Array& x, const Array& value) {
  static const OpHandle op("straight_through");
  return op({x, value});
}

Grads vjp_straight(const NoAttrs&, const VjpArgs& at) {
  Grads grads(2);
  grads[0] = at.cotangent();
  return grads;
}
Arrays jvp_straight(const NoAttrs&, const JvpArgs& at) { return {at.tangent(0)}; }
VmapResult vmap_straight(const NoAttrs&, const VmapArgs& at) {
  return {{straight_through(batch_first_broadcast(at, 0), batch_first_broadcast(at, 1))}, {0}};
}

// What the numbers of x stand for once they are packed. Packed numbers change in steps; the derivative follows x.
Array quantised(const Format& format, const Array& x, const std::optional<Array>& global_scale) {
  const Array fixed = stop_gradient(x);
  const Arrays parts = quantize(fixed, format.group_size, format.bits, format.mode, global_scale);
  const std::optional<Array> biases = format.affine() ? std::optional(parts[2]) : std::nullopt;
  return straight_through(
      x, dequantize(parts[0], parts[1], biases, format.group_size, format.bits, format.mode, global_scale, x.dtype()));
}

[[noreturn]] void reject(std::string_view op, std::string got, std::string accepts) {
  throw ArgumentError({.op = std::string(op), .got = std::move(got), .accepts = std::move(accepts), .where = here()});
}

Array picked(const Array& x, const std::optional<Array>& indices) {
  if (!indices) return x;
  return take(x.rank() == 2 ? expand_dims(x, 0) : flatten(x, 0, -3), *indices, 0);
}

struct Right {
  const Array& w;
  const std::optional<Array>& scales;
  const std::optional<Array>& indices;
};

// x quantised times the transpose of w, packed already or quantised here.
Array product_of_both(std::string_view op, const Format& format, const Array& x, const Right& right,
                      const std::optional<Array>& of_x, const std::optional<Array>& of_w) {
  if (format.affine()) reject(op, "mode affine", "a microscaled mode");
  if (of_x.has_value() != of_w.has_value()) reject(op, "one global scale", "both or none");
  if (!is_floating(x.dtype()))
    throw DTypeError({.op = std::string(op),
                      .got = "x of dtype " + std::string(name_of(x.dtype())),
                      .accepts = "floats",
                      .where = here()});
  const bool packed = right.w.dtype() == DType::uint32;
  if (packed != right.scales.has_value())
    reject(op, packed ? "packed numbers without scales" : "scales for numbers that are not packed",
           "packed numbers with scales, or floats alone");
  const Dim columns = packed ? format.numbers(right.w.dim(-1)) : right.w.dim(-1);
  if (x.rank() < 1 || right.w.rank() < 2 || !(x.dim(-1) == columns) || !(columns % Dim(format.group_size) == 0))
    quant::reject_shape(op, "shapes " + to_string(x.shape()) + " and " + to_string(right.w.shape()),
                        "last axes of one length, a multiple of " + std::to_string(format.group_size));
  const Array rows = x.rank() == 1 ? expand_dims(x, 0) : x;
  const Array left = quantised(format, rows, of_x);
  Array out;
  if (packed) {
    const Packed w = quant::checked_packed(op, format, right.w, *right.scales, std::nullopt);
    out = quant::gathered_product(op, format, left, std::nullopt, w, right.indices, true);
    if (of_w) {
      const Array scale = divide(quant::checked_global_scale(op, format, *of_w), Array(448.0f * 6.0f));
      out = converted(multiply(converted(out, DType::float32), scale), out.dtype());
    }
  } else {
    const Array w = quantised(format, converted(right.w, x.dtype()), of_w);
    out = matmul(left, matrix_transpose(picked(w, right.indices)));
  }
  return x.rank() == 1 ? squeeze(out, -2) : out;
}

}  // namespace

Array qqmm(const Array& x, const Array& w, const std::optional<Array>& scales, std::optional<int64_t> group_size,
           std::optional<int64_t> bits, std::string_view mode, const std::optional<Array>& global_scale_x,
           const std::optional<Array>& global_scale_w) {
  const Format format = quant::checked_format("qqmm", mode, group_size, bits);
  if (w.rank() != 2)
    quant::reject_shape("qqmm", "w of shape " + to_string(w.shape()), "a matrix", "gather_qqmm takes batches");
  const std::optional<Array> all;
  return product_of_both("qqmm", format, x, {w, scales, all}, global_scale_x, global_scale_w);
}

Array gather_qqmm(const Array& x, const Array& w, const std::optional<Array>& scales,
                  const std::optional<Array>& lhs_indices, const std::optional<Array>& rhs_indices,
                  std::optional<int64_t> group_size, std::optional<int64_t> bits, std::string_view mode,
                  const std::optional<Array>& global_scale_x, const std::optional<Array>& global_scale_w, bool) {
  const Format format = quant::checked_format("gather_qqmm", mode, group_size, bits);
  if (x.rank() < 2) quant::reject_shape("gather_qqmm", "x of shape " + to_string(x.shape()), "(..., m, k)");
  return product_of_both("gather_qqmm", format, picked(x, lhs_indices), {w, scales, rhs_indices}, global_scale_x,
                         global_scale_w);
}

void register_qqmm(OpRegistry& ops) {
  ops.alias<NoAttrs>("straight_through")
      .summary("The second argument, with the derivative of the first.")
      .input("x", dtypes::floating)
      .input("value", dtypes::floating)
      .infer(infer_straight)
      .check(check_straight)
      .vjp(vjp_straight)
      .jvp(jvp_straight)
      .vmap(vmap_straight);
  ops.function("qqmm")
      .signature(
          "(x: array, w: array, scales: array | None = None, group_size: int | None = None, bits: int | None = None, mode: str = 'nvfp4', global_scale_x: array | None = None, global_scale_w: array | None = None, *, stream: StreamOrDevice = None) -> array")
      .summary("x times the transpose of w, both quantised: x here, w here or by quantize before.")
      .details(
          "Shapes: x (..., k), w (n, k), or its packed numbers with scales -> (..., n). Modes: mxfp4, mxfp8, nvfp4; global scales of both or "
          "none. Dtype: that of x; the sums are of what the packed numbers stand for. Gradients: for x and a w that is not packed, as if both were not rounded on "
          "the way. Errors: ValueError for shapes, dtypes or formats that do not fit.")
      .oracle("oracle.qqmm(x, w, scales, group_size, bits, mode)")
      .not_differentiable("the result changes in steps; the gradient is that of the product of what is not rounded")
      .sample("(2, 64), (3, 64)", "mode='mxfp8'")
      .sample("(2, 64), words(3, 8), exponents(3, 2)", "mode='mxfp4'")
      .rejects("(2, 64), (3, 32)", "", "ShapeError")
      .rejects("(2, 64), words(3, 8)", "", "ArgumentError")
      .rejects("(2, 64), (3, 64)", "mode='affine'", "ArgumentError");
  ops.function("gather_qqmm")
      .signature(
          "(x: array, w: array, /, scales: array | None = None, lhs_indices: array | None = None, rhs_indices: array | None = None, group_size: int | None = None, bits: int | None = None, mode: str = 'nvfp4', global_scale_x: array | None = None, global_scale_w: array | None = None, *, sorted_indices: bool = False, stream: StreamOrDevice = None) -> array")
      .summary("As qqmm, of picked matrices.")
      .details(
          "Shapes: x (..., m, k), w (..., n, k) or its packed numbers with scales. lhs_indices, rhs_indices: positions in the flattened leading axes of x and "
          "of w; they broadcast. sorted_indices is a hint. Errors: ValueError; IndexError while evaluating.")
      .oracle("oracle.gather_qqmm(x, w, scales, lhs_indices, rhs_indices, group_size, bits, mode)")
      .not_differentiable("the result changes in steps; the gradient is that of the product of what is not rounded")
      .sample("(3, 2, 64), words(5, 4, 8), exponents(5, 4, 2), [2, 0], [4, 1]", "mode='mxfp4'")
      .rejects("(64,), (5, 4, 64)", "", "ShapeError");
}

}  // namespace plait
