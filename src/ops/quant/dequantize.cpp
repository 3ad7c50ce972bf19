#include "ops/packed.h"
#include "ops/prelude.h"

namespace plait {
namespace {

using quant::Format;
using quant::Packed;

struct MicroscaledAttrs {
  std::string mode;
  int64_t bits = 0, group_size = 0;
  DType dtype = DType::bfloat16;

  Format format() const { return {mode, bits, group_size}; }
};

Aval infer_numbers(const Format& format, const Aval& words, DType dtype) {
  Aval out{words.shape, dtype};
  out.shape.back() = format.numbers(words.shape.back());
  return out;
}
Avals infer_affine(const Format& format, std::span<const Aval> in) {
  return {infer_numbers(format, in[0], in[1].dtype)};
}
Avals infer_microscaled(const MicroscaledAttrs& attrs, std::span<const Aval> in) {
  return {infer_numbers(attrs.format(), in[0], attrs.dtype)};
}

const char* check_affine(const Format& format, std::span<const Aval> in) {
  if (const char* accepts = quant::check_format(format)) return accepts;
  return format.affine() ? quant::check_packed(format, in.data()) : "mode affine";
}
const char* check_microscaled(const MicroscaledAttrs& attrs, std::span<const Aval> in) {
  const Format format = attrs.format();
  if (const char* accepts = quant::check_format(format)) return accepts;
  if (format.affine() || !is_floating(attrs.dtype)) return "a microscaled mode, and floats as a result";
  return quant::check_packed(format, in.data());
}

Grads vjp_affine(const Format& format, const VjpArgs& at) {
  const Arrays parts = quant::cotangents_of_affine(format, at.cotangent(), at.input(0), at.input(1));
  Grads grads(3);
  grads[1] = parts[0];
  grads[2] = parts[1];
  return grads;
}

Arrays jvp_affine(const Format& format, const JvpArgs& at) {
  const auto part = [&](int i) { return at.tangent(i).defined() ? at.tangent(i) : zeros_like(at.input(i)); };
  return {quant::unpacked(format, {at.input(0), part(1), part(2)}, at.input(1).dtype())};
}

VmapResult vmap_affine(const Format& format, const VmapArgs& at) {
  const auto part = [&](int i) { return batch_first_broadcast(at, i); };
  return {{quant::unpacked(format, {part(0), part(1), part(2)}, at.inputs[1].dtype())}, {0}};
}
VmapResult vmap_microscaled(const MicroscaledAttrs& attrs, const VmapArgs& at) {
  const auto part = [&](int i) { return batch_first_broadcast(at, i); };
  return {{quant::unpacked(attrs.format(), {part(0), part(1), Array()}, attrs.dtype)}, {0}};
}

}  // namespace

namespace quant {

// code * scale + bias is linear in both; the codes are what comes of scales of 1.
Arrays cotangents_of_affine(const Format& format, const Array& of_numbers, const Array& words, const Array& scales) {
  const auto summed = [&](const Array& x) {
    Shape shape = x.shape();
    shape.back() = scales.dim(-1);
    shape.push_back(Dim(format.group_size));
    return sum(reshape(x, shape), -1, false);
  };
  const Array codes = unpacked(format, {words, ones_like(scales), zeros_like(scales)}, scales.dtype());
  return {summed(multiply(of_numbers, codes)), summed(of_numbers)};
}

Array unpacked(const Format& format, const Packed& packed, DType dtype) {
  static const OpHandle affine("affine_dequantize"), microscaled("microscaled_dequantize");
  if (format.affine()) return converted(affine(format, {packed.words, packed.scales, packed.biases}), dtype);
  return microscaled(MicroscaledAttrs{format.mode, format.bits, format.group_size, dtype},
                     {packed.words, packed.scales});
}

}  // namespace quant

Array dequantize(const Array& w, const Array& scales, const std::optional<Array>& biases,
                 std::optional<int64_t> group_size, std::optional<int64_t> bits, std::string_view mode,
                 const std::optional<Array>& global_scale, std::optional<DType> dtype) {
  const Format format = quant::checked_format("dequantize", mode, group_size, bits);
  const Packed packed = quant::checked_packed("dequantize", format, w, scales, biases);
  const DType usual = format.affine() ? packed.scales.dtype() : global_scale ? DType::float32 : DType::bfloat16;
  const DType out = dtype.value_or(usual);
  if (!is_floating(out))
    throw DTypeError(
        {.op = "dequantize", .got = "dtype " + std::string(name_of(out)), .accepts = "floats", .where = here()});
  if (!global_scale) return quant::unpacked(format, packed, out);
  const Array scale = quant::checked_global_scale("dequantize", format, *global_scale);
  return converted(multiply(quant::unpacked(format, packed, DType::float32), divide(scale, Array(448.0f * 6.0f))), out);
}

void register_dequantize(OpRegistry& ops) {
  ops.opaque<Format>("affine_dequantize")
      .summary("code * scale + bias.")
      .input("w", dtype_bit(DType::uint32), "(..., words)")
      .input("scales", dtypes::floating, "(..., groups)")
      .input("biases", dtypes::floating, "(..., groups)")
      .attr("mode", &Format::mode, "affine")
      .attr("bits", &Format::bits, "bits of a code")
      .attr("group_size", &Format::group_size, "numbers that share a scale")
      .infer(infer_affine)
      .check(check_affine)
      .vjp(vjp_affine)
      .jvp(jvp_affine)
      .vmap(vmap_affine);
  ops.opaque<MicroscaledAttrs>("microscaled_dequantize")
      .summary("The float that a code stands for, times the scale of its group.")
      .input("w", dtype_bit(DType::uint32), "(..., words)")
      .input("scales", dtype_bit(DType::uint8), "(..., groups)")
      .attr("mode", &MicroscaledAttrs::mode, "a microscaled mode")
      .attr("bits", &MicroscaledAttrs::bits, "bits of a code")
      .attr("group_size", &MicroscaledAttrs::group_size, "numbers that share a scale")
      .attr("dtype", &MicroscaledAttrs::dtype, "dtype of the result")
      .infer(infer_microscaled)
      .check(check_microscaled)
      .vmap(vmap_microscaled)
      .not_differentiable("codes and scales are integers");
  ops.function("dequantize")
      .signature(
          "(w: array, /, scales: array, biases: array | None = None, group_size: int | None = None, bits: int | None = None, mode: str = 'affine', global_scale: array | None = None, dtype: Dtype | None = None, *, stream: StreamOrDevice = None) -> array")
      .summary("The numbers that packed ones stand for.")
      .details(
          "Shapes and formats are those of quantize: w uint32 (..., words), scales and biases (..., groups) -> (..., n). Dtype: dtype, else that "
          "of the scales in mode affine, bfloat16 in the others. Gradients: for scales and biases; packed numbers and scales of 8 bits "
          "have none. Errors: ValueError for parts that do not fit each other or the format.")
      .oracle("oracle.dequantize(w, scales, biases, group_size, bits, mode, global_scale)")
      .sample("words(2, 8), (2, 1), (2, 1)")
      .sample("words(2, 2, 6), (2, 2, 2), (2, 2, 2)", "group_size=32, bits=3")
      .sample("words(1, 20), (1, 1), (1, 1)", "group_size=128, bits=5")
      .sample("words(2, 8), exponents(2, 2)", "mode='mxfp4', dtype=float32")
      .sample("words(1, 8), exponents(1, 4)", "mode='nvfp4'")
      .sample("words(0, 8), (0, 1), (0, 1)")
      .rejects("words(2, 8), (2, 2), (2, 2)", "", "ShapeError")
      .rejects("(2, 8), (2, 1), (2, 1)", "", "DTypeError")
      .rejects("words(2, 8), (2, 1)", "", "ArgumentError")
      .rejects("words(2, 8), (2, 1)", "mode='mxfp4'", "DTypeError");
}

}  // namespace plait
