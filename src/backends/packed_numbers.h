#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "backends/kernel.h"
#include "backends/order.h"
#include "backends/packed_bits.h"

/// Numbers of a few bits: how they lie in memory and what they stand for. Codes of `bits` bits follow each other in the 32-bit
/// words of a row, the first in the lowest bits; each `group` of them share a scale (and a bias in affine mode).
namespace plait::packed {

struct Format {
  Codes codes = Codes::affine;
  int bits = 4;
  int64_t group = 64;

  bool affine() const { return codes == Codes::affine; }
  int64_t words(int64_t numbers) const { return numbers * bits / 32; }
  int64_t numbers(int64_t words) const { return words * 32 / bits; }
};

/// The attributes mode, bits and group_size of an op.
PLAIT_API Format format_of(const AttrsView& attrs);

inline uint32_t code_at(const uint32_t* row, int64_t i, int bits) {
  const int64_t at = i * bits;
  const int shift = static_cast<int>(at & 31);
  uint32_t code = row[at >> 5] >> shift;
  if (shift + bits > 32) code |= row[(at >> 5) + 1] << (32 - shift);
  return code & ((1u << bits) - 1);
}

inline float scale_of(const Format& format, uint8_t byte) { return scale_of_byte(format.codes, byte); }
inline float value_of(const Format& format, uint32_t code) { return number_of(format.codes, format.bits, code); }

/// Rows of packed numbers: words, scales and, in affine mode, biases, each with unit stride along a row and strides of its own
/// along the axes before.
class Rows {
 public:
  /// Of three (two) inputs. What has no unit stride along its rows is copied.
  explicit Rows(std::span<const TensorView> parts);
  Rows(const Rows&) = delete;

  struct Row {
    const uint32_t* words;
    const void *scales, *biases;
  };
  /// Row i, counted through all axes but the last.
  Row row(int64_t i) const;
  int64_t count() const { return count_; }

 private:
  struct Part {
    const char* data = nullptr;
    SmallVector<int64_t, 6> strides;  // bytes
  };
  SmallVector<int64_t, 6> shape_;  // without the last axis
  SmallVector<Part, 3> parts_;
  std::vector<std::vector<char>> copies_;
  int64_t count_ = 1;
};

/// The numbers of a row, in what arithmetic on the dtype T of scales is done in, before they are rounded to T.
template <class T, class W = Wide<T>>
void unpack_row(const Format& format, const Rows::Row& row, int64_t n, W* to) {
  for (int64_t g = 0; g * format.group < n; ++g) {
    W scale, bias = 0;
    if (format.affine()) {
      scale = widened(static_cast<const T*>(row.scales)[g]);
      bias = widened(static_cast<const T*>(row.biases)[g]);
    } else {
      scale = static_cast<W>(scale_of(format, static_cast<const uint8_t*>(row.scales)[g]));
    }
    for (int64_t i = g * format.group; i < (g + 1) * format.group; ++i) {
      const W value = static_cast<W>(value_of(format, code_at(row.words, i, format.bits)));
      to[i] = format.affine() ? value * scale + bias : value * scale;
    }
  }
}

}  // namespace plait::packed
