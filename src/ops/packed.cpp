#include "ops/packed.h"

#include "ops/prelude.h"

namespace plait::quant {
namespace {

// Microscaled modes have one size each.
struct Mode {
  std::string_view name;
  int64_t bits, group_size;
};
constexpr Mode kModes[] = {{"affine", 4, 64}, {"mxfp4", 4, 32}, {"mxfp8", 8, 32}, {"nvfp4", 4, 16}};

const Mode* find_mode(std::string_view name) {
  for (const Mode& mode : kModes)
    if (mode.name == name) return &mode;
  return nullptr;
}

bool is_affine_bits(int64_t bits) { return bits >= 2 && bits <= 8 && bits != 7; }
bool is_affine_group(int64_t size) { return size == 32 || size == 64 || size == 128; }

}  // namespace

const char* check_format(const Format& format) {
  const Mode* mode = find_mode(format.mode);
  if (mode == nullptr) return "mode affine, mxfp4, mxfp8 or nvfp4";
  if (format.affine() ? is_affine_bits(format.bits) && is_affine_group(format.group_size)
                      : format.bits == mode->bits && format.group_size == mode->group_size)
    return nullptr;
  return "bits and a group size of the mode";
}

Format checked_format(std::string_view op, std::string_view name, std::optional<int64_t> group_size,
                      std::optional<int64_t> bits) {
  const Mode* mode = find_mode(name);
  if (mode == nullptr)
    throw ArgumentError({.op = std::string(op),
                         .got = "mode '" + std::string(name) + "'",
                         .accepts = "'affine', 'mxfp4', 'mxfp8' or 'nvfp4'",
                         .where = here()});
  const Format format{std::string(name), bits.value_or(mode->bits), group_size.value_or(mode->group_size)};
  if (check_format(format) != nullptr)
    throw ArgumentError({.op = std::string(op),
                         .got = std::to_string(format.bits) + " bits in groups of " +
                                std::to_string(format.group_size) + " in mode " + format.mode,
                         .accepts = format.affine() ? "2, 3, 4, 5, 6 or 8 bits, groups of 32, 64 or 128"
                                                    : std::to_string(mode->bits) + " bits in groups of " +
                                                          std::to_string(mode->group_size),
                         .where = here()});
  return format;
}

void reject_shape(std::string_view op, std::string got, std::string accepts, std::string hint) {
  throw ShapeError({.op = std::string(op),
                    .got = std::move(got),
                    .accepts = std::move(accepts),
                    .hint = std::move(hint),
                    .where = here()});
}

const char* check_packed(const Format& format, const Aval* parts) {
  const Shape &words = parts[0].shape, &scales = parts[1].shape;
  if (words.rank() < 1 || words.rank() != scales.rank() || !agree(words, 0, scales, 0, words.rank() - 1))
    return "words and scales with the same rows";
  if (!(scales.back() * Dim(format.group_size * format.bits) == words.back() * 32))
    return "a scale for each group of a row";
  if (format.affine() && (!(parts[2].shape == scales) || parts[1].dtype != parts[2].dtype))
    return "biases of the scales' shape and dtype";
  return nullptr;
}

Packed checked_packed(std::string_view op, const Format& format, const Array& words, const Array& scales,
                      const std::optional<Array>& biases) {
  const auto reject_dtype = [&](const char* name, const Array& a, const char* accepts) {
    throw DTypeError({.op = std::string(op),
                      .got = std::string(name) + " of dtype " + std::string(name_of(a.dtype())),
                      .accepts = accepts,
                      .hint = "quantize makes them",
                      .where = here()});
  };
  if (words.dtype() != DType::uint32) reject_dtype("packed numbers", words, "uint32");
  if (format.affine() != biases.has_value())
    throw ArgumentError({.op = std::string(op),
                         .got = biases ? "biases" : "no biases",
                         .accepts = format.affine() ? "biases in mode affine" : "none in mode " + format.mode,
                         .where = here()});
  Packed packed{words, scales, Array()};
  if (format.affine()) {
    if (!is_floating(scales.dtype())) reject_dtype("scales", scales, "floats in mode affine");
    if (!is_floating(biases->dtype())) reject_dtype("biases", *biases, "floats");
    const DType dtype = promote(scales.dtype(), biases->dtype());
    packed.scales = converted(scales, dtype);
    packed.biases = converted(*biases, dtype);
  } else if (scales.dtype() != DType::uint8) {
    reject_dtype("scales", scales, "uint8 in microscaled modes");
  }
  const Aval parts[] = {{packed.words.shape(), DType::uint32},
                        {packed.scales.shape(), packed.scales.dtype()},
                        biases ? Aval{packed.biases.shape(), packed.biases.dtype()} : Aval{}};
  if (words.rank() < 2 || check_packed(format, parts) != nullptr)
    reject_shape(
        op,
        "packed numbers " + to_string(words.shape()) + " with scales " + to_string(scales.shape()) +
            (biases ? " and biases " + to_string(biases->shape()) : "") + ", " + std::to_string(format.bits) +
            " bits in groups of " + std::to_string(format.group_size),
        "two axes or more; " + std::to_string(format.bits) + " words for 32 numbers of a row, a scale for each group",
        "quantize makes them");
  return packed;
}

Array checked_global_scale(std::string_view op, const Format& format, const Array& scale) {
  if (format.mode != "nvfp4")
    throw ArgumentError({.op = std::string(op),
                         .got = "a global scale in mode " + format.mode,
                         .accepts = "one in mode nvfp4 alone",
                         .where = here()});
  if (scale.dtype() != DType::float32)
    throw DTypeError({.op = std::string(op),
                      .got = "a global scale of dtype " + std::string(name_of(scale.dtype())),
                      .accepts = "float32",
                      .where = here()});
  if (!(scale.shape().count() == 1))
    reject_shape(op, "a global scale of shape " + to_string(scale.shape()), "one number");
  return reshape(scale, Shape{});
}

}  // namespace plait::quant
