#include "ops/packed.h"
#include "ops/prelude.h"

namespace plait {
namespace {

using quant::Format;

constexpr float kWhole = 448.0f * 6.0f;  // what a global scale of 1 is divided by

Avals infer_quantize(const Format& format, std::span<const Aval> in) {
  Aval words{in[0].shape, DType::uint32};
  words.shape.back() = format.words(in[0].shape.back());
  Aval scales{in[0].shape, format.affine() ? in[0].dtype : DType::uint8};
  scales.shape.back() = in[0].shape.back() / Dim(format.group_size);
  return format.affine() ? Avals{words, scales, scales} : Avals{words, scales};
}

const char* check_quantize(const Format& format, std::span<const Aval> in) {
  if (const char* accepts = quant::check_format(format)) return accepts;
  const Shape& shape = in[0].shape;
  return shape.rank() >= 1 && shape.back() % Dim(format.group_size) == 0 ? nullptr : "a last axis of whole groups";
}
const char* check_affine(const Format& format, std::span<const Aval> in) {
  return format.affine() ? check_quantize(format, in) : "mode affine";
}
const char* check_microscaled(const Format& format, std::span<const Aval> in) {
  return format.affine() ? "a microscaled mode" : check_quantize(format, in);
}

Arrays packed(const Format& format, const Array& w) {
  static const OpHandle affine("affine_quantize"), microscaled("microscaled_quantize");
  return make_all(format.affine() ? *affine : *microscaled, Ref<AttrsBase>::adopt(new AttrsBox<Format>(format)), {w});
}

// In mode affine scale and bias follow one element of a group: the bias is it, the scale a whole part of it. Codes, and scales of
// 8 bits, change in steps.
struct Edge {
  Array position,
      steps;  // (..., groups, 1) and (..., groups); 0 steps where a group is too flat for a scale of its own
};

Shape grouped(const Format& format, const Array& w) {
  Shape shape = w.shape();
  shape.back() = shape.back() / Dim(format.group_size);
  shape.push_back(Dim(format.group_size));
  return shape;
}

Edge edge_of(const Format& format, const Array& w, const Array& scales) {
  const Array groups = reshape(w, grouped(format, w));
  const Array from_low = greater(abs(min(groups, -1, false)), abs(max(groups, -1, false)));
  const Array position = expand_dims(where(from_low, argmin(groups, -1, false), argmax(groups, -1, false)), -1);
  return {position, round(divide(squeeze(take_along_axis(groups, position, -1), -1), scales), 0)};
}

Grads vjp_affine(const Format& format, const VjpArgs& at) {
  const Array& w = at.input(0);
  const Edge edge = edge_of(format, w, at.output(1));
  const Array moves = not_equal(edge.steps, zeros_like(edge.steps));
  const Array of_edge = add(divide(at.cotangent(1), where(moves, edge.steps, ones_like(edge.steps))), at.cotangent(2));
  const Array change = where(moves, of_edge, zeros_like(of_edge));
  const Array zero = zeros(grouped(format, w), w.dtype());
  return {reshape(put_along_axis(zero, edge.position, expand_dims(change, -1), -1), w.shape())};
}

Arrays jvp_affine(const Format& format, const JvpArgs& at) {
  const Edge edge = edge_of(format, at.input(0), at.output(1));
  const Array moves = not_equal(edge.steps, zeros_like(edge.steps));
  const Array groups = reshape(at.tangent(0), grouped(format, at.input(0)));
  const Array taken = squeeze(take_along_axis(groups, edge.position, -1), -1);
  const Array change = where(moves, taken, zeros_like(taken));
  return {Array(), divide(change, where(moves, edge.steps, ones_like(edge.steps))), change};
}

VmapResult vmap_quantize(const Format& format, const VmapArgs& at) {
  VmapResult out{packed(format, batch_first(at, 0)), {}};
  out.axes.resize(out.outputs.size(), 0);
  return out;
}

}  // namespace

Arrays quantize(const Array& w, std::optional<int64_t> group_size, std::optional<int64_t> bits, std::string_view mode,
                const std::optional<Array>& global_scale) {
  const Format format = quant::checked_format("quantize", mode, group_size, bits);
  if (!is_floating(w.dtype()))
    throw DTypeError({.op = "quantize",
                      .got = "dtype " + std::string(name_of(w.dtype())),
                      .accepts = "floats",
                      .hint = "astype(float32) converts",
                      .where = here()});
  if (w.rank() < 2 || !(w.dim(-1) % Dim(format.group_size) == 0))
    quant::reject_shape("quantize", "shape " + to_string(w.shape()),
                        "two axes or more, the last a multiple of " + std::to_string(format.group_size));
  if (!global_scale) return packed(format, w);
  return packed(format,
                multiply(w, divide(Array(kWhole), quant::checked_global_scale("quantize", format, *global_scale))));
}

void register_quantize(OpRegistry& ops) {
  const auto described = [](auto&& builder) {
    builder.input("w", dtypes::floating, "(..., n)")
        .attr("mode", &Format::mode, "affine, or a microscaled mode")
        .attr("bits", &Format::bits, "bits of a code")
        .attr("group_size", &Format::group_size, "numbers that share a scale")
        .infer(infer_quantize)
        .vmap(vmap_quantize);
  };
  described(ops.opaque<Format>("affine_quantize")
                .summary("Codes of a few bits, with a scale and a bias for each group.")
                .check(check_affine)
                .vjp(vjp_affine)
                .jvp(jvp_affine));
  described(ops.opaque<Format>("microscaled_quantize")
                .summary("Codes of 4 or 8 bits that are floats, with a scale of 8 bits for each group.")
                .check(check_microscaled)
                .not_differentiable("codes and scales change in steps"));
  ops.function("quantize")
      .signature(
          "(w: array, /, group_size: int | None = None, bits: int | None = None, mode: str = 'affine', *, global_scale: array | None = None, stream: StreamOrDevice = None) -> tuple[array, array, array]")
      .summary("Packs each number of a matrix into a few bits: codes, and what turns groups of them back into numbers.")
      .details(
          "Shapes: w (..., n) with two axes or more and n a multiple of the group -> words uint32 (..., n * bits / 32), scales and, in mode "
          "affine, biases (..., n / group_size). Modes: affine, 2, 3, 4, 5, 6 or 8 bits (4) in groups of 32, 64 or 128 (64): a number is code * "
          "scale + bias, of w's dtype; mxfp4 and mxfp8, floats of 4 and 8 bits times a power of two for 32 of them, and nvfp4, floats of 4 bits "
          "times one of 8 bits for 16: two results, the scales uint8. global_scale: float32, one number; mode nvfp4 packs w * 2688 / global_scale. "
          "NaN is packed as 0 where a format has none. Gradients: through scales and biases of mode affine, which follow the element of a group with the largest magnitude. "
          "Errors: ValueError for another shape, dtype or format.")
      .oracle("oracle.quantize(w, group_size, bits, mode)")
      .sample("(2, 64)")
      .sample("(2, 3, 64)", "group_size=32, bits=3")
      .sample("numbers(2, 64)", "mode='mxfp4'")
      .sample("numbers(2, 64)", "mode='mxfp8'")
      .sample("numbers(1, 64)", "mode='nvfp4'")
      .sample("(0, 64)", "bits=5")
      .rejects("(64,)", "", "ShapeError")
      .rejects("(2, 65)", "", "ShapeError")
      .rejects("(2, 64)", "bits=7", "ArgumentError")
      .rejects("(2, 64)", "group_size=48", "ArgumentError")
      .rejects("(2, 64)", "mode='mxfp4', group_size=64", "ArgumentError")
      .rejects("(2, 64)", "mode='int4'", "ArgumentError");
}

}  // namespace plait
