#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "plait/array.h"
#include "plait/error.h"

/// What the functions of quantised arrays share: how numbers are packed, and checks of what is packed.
namespace plait::quant {

/// How a matrix is packed. Codes of `bits` bits follow each other in the 32-bit words of a row, the first in the lowest bits;
/// each `group_size` of them share a scale (and a bias in affine mode).
struct Format {
  std::string mode;
  int64_t bits = 0, group_size = 0;

  bool affine() const { return mode == "affine"; }
  /// Numbers in a row of so many words, words for a row of so many numbers.
  Dim numbers(Dim words) const { return words * 32 / Dim(bits); }
  Dim words(Dim numbers) const { return numbers * Dim(bits) / 32; }
};

/// The format that arguments ask for. Errors: ArgumentError naming `op`.
Format checked_format(std::string_view op, std::string_view mode, std::optional<int64_t> group_size,
                      std::optional<int64_t> bits);

/// The operands that a packed matrix consists of; biases are undefined but in affine mode.
struct Packed {
  Array words, scales, biases;
};

/// Packed operands that fit each other: words uint32, scales (and biases) one for each group, of floats in affine mode, else
/// uint8. Errors: DTypeError, ShapeError, ArgumentError naming `op`.
Packed checked_packed(std::string_view op, const Format& format, const Array& words, const Array& scales,
                      const std::optional<Array>& biases);

/// For `check` of primitives: null when these are the parts of a packed matrix, the first of them the words.
const char* check_format(const Format& format);
const char* check_packed(const Format& format, const Aval* parts);

[[noreturn]] void reject_shape(std::string_view op, std::string got, std::string accepts, std::string hint = "");

/// The cotangents of scales and biases of mode affine from that of the numbers.
Arrays cotangents_of_affine(const Format& format, const Array& of_numbers, const Array& words, const Array& scales);

/// The numbers that packed ones stand for, of a dtype.
Array unpacked(const Format& format, const Packed& packed, DType dtype);
/// A number of a global scale, float32, for mode nvfp4: 2688 (448 * 6, the largest number of the mode) stands for 1. Errors:
/// ArgumentError, ShapeError, DTypeError naming `op`.
Array checked_global_scale(std::string_view op, const Format& format, const Array& scale);

}  // namespace plait::quant
