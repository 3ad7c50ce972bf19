// Loops over packed numbers (backends/packed_numbers.h), once per instruction set.
//
// Only plain declarations here: this header is seen by sources of every instruction set.
#pragma once

#include <cstdint>

namespace plait::cpu {

/// How codes are read: integers of 2, 3, 4, 5, 6 or 8 bits, or floats of 4 or 8.
enum class PackedKind : uint8_t { bits2, bits3, bits4, bits5, bits6, bits8, float4, float8, count_ };

/// The most rows of x, and of packed numbers, that one call multiplies.
inline constexpr int kPackedRows = 4;
/// Zeros that stand behind scales, biases and sums of x.
inline constexpr int64_t kPackedPadding = 16;

/// Dot products of rows of packed numbers with rows of x: sums[r * rows_of_x + m].
struct PackedDots {
  int64_t n, group;  // numbers of a row, and of a group
  const uint32_t* words[kPackedRows];
  const float* scales[kPackedRows];
  const float* biases[kPackedRows];  // null: none
  const float* x;  // in the order of `arrange`, rows arranged_size() apart
  const float* x_sums;  // of each group, rows `x_sums_stride` apart; read with biases only
  int64_t x_sums_stride;
  float* sums;
};

/// Part of a row to be unpacked: numbers `first` to `first + count`, both multiples of 8.
struct PackedPart {
  const uint32_t* words;
  const float *scales, *biases;  // of the whole row; biases null: none
  int64_t group, first, count;
};

struct PackedKernels {
  using Dots = void (*)(const PackedDots&);
  using Unpack = void (*)(const PackedPart&, float* to);

  struct OfKind {
    Dots dots[3] = {};  // of 4, 2 and 1 rows of packed numbers with 1, 2 and 4 rows of x
    Unpack unpack = nullptr;
  };
  int lanes = 0;
  OfKind kinds[static_cast<int>(PackedKind::count_)] = {};
  /// Numbers of a row of x in the order in which `dots` meets them, zeros behind.
  void (*arrange)(const float* from, int64_t n, int codes, float* to) = nullptr;

  const OfKind& of(PackedKind kind) const { return kinds[static_cast<int>(kind)]; }
};

/// Codes that lie in one unit: words without a code across their ends, or the 32 codes after which words begin anew.
constexpr int packed_codes(PackedKind kind) {
  switch (kind) {
    case PackedKind::bits2: return 16;
    case PackedKind::bits4:
    case PackedKind::float4: return 8;
    case PackedKind::bits8:
    case PackedKind::float8: return 4;
    default: return 32;
  }
}

/// The table of the instruction set in use.
const PackedKernels& packed_kernels();

#define PLAIT_PACKED(target)                 \
  namespace target {                         \
  extern const PackedKernels kPackedKernels; \
  }
PLAIT_PACKED(portable)
#if defined(__x86_64__)
PLAIT_PACKED(avx2)
PLAIT_PACKED(avx512)
#endif
#undef PLAIT_PACKED

}  // namespace plait::cpu
