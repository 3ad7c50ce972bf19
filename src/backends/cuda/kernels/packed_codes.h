// Packed numbers in registers: what kernels do with a run of codes. Plain functions of bits, compiled for the host too, where tests
// compare them with codes taken one by one (backends/packed_numbers.h). What a code stands for: backends/packed_bits.h.
#pragma once

#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <cuda_fp8.h>

#include <cstdint>
#include <type_traits>

#include "backends/packed_bits.h"

namespace plait::cuda {

using packed::Codes;
using packed::same_bits;

// ---- Codes in words --------------------------------------------------------------------------------------------------

/// 32 bits from bit `at` of 32 codes of B bits on; behind the last word anything.
template <int B>
PLAIT_BOTH uint32_t bits_from(const uint32_t* words, int at) {
  const int word = at >> 5, next = word + 1 < B ? word + 1 : word;
  return static_cast<uint32_t>((static_cast<uint64_t>(words[next]) << 32 | words[word]) >> (at & 31));
}

/// Codes 8 * part to 8 * part + 7 of 32 that begin with a word: pairs[i] is code i, and code i + 4 above it, in 16 bits each.
template <int B>
PLAIT_BOTH void eight_codes(const uint32_t* words, int part, uint32_t (&pairs)[4]) {
  constexpr uint32_t kMask = (1u << B) - 1;
  uint32_t low = 0, high = 0;  // of four codes each
  if constexpr (B == 8) {
    low = words[2 * part];
    high = words[2 * part + 1];
  } else if constexpr (B == 4) {
    low = words[part];
    high = low >> 16;
  } else if constexpr (B == 2) {
    low = words[part >> 1] >> (16 * (part & 1));
    high = low >> 8;
  } else {
    low = bits_from<B>(words, 8 * B * part);
    high = B == 3 ? low >> 12 : bits_from<B>(words, 8 * B * part + 4 * B);
  }
#ifdef __CUDA_ARCH__
#pragma unroll
#endif
  for (int i = 0; i < 4; ++i) {
    if constexpr (B == 4)
      pairs[i] = low >> (4 * i) & 0x000F000F;  // the same, in two instructions
    else
      pairs[i] = (low >> (B * i) & kMask) | (high >> (B * i) & kMask) << 16;
  }
}
/// Code i of eight.
PLAIT_BOTH uint32_t code_of(const uint32_t (&pairs)[4], int i) { return pairs[i & 3] >> (i < 4 ? 0 : 16) & 0xFF; }

// ---- Numbers of codes -------------------------------------------------------------------------------------------------

/// Two numbers of 16 bits side by side, as tensor cores take them. T is __half or __nv_bfloat16.
template <class T>
using PairOf = std::conditional_t<std::is_same_v<T, __half>, __half2, __nv_bfloat162>;

template <class T>
PLAIT_BOTH uint32_t difference_of(uint32_t a, uint32_t b) {
  return same_bits<uint32_t>(__hsub2(same_bits<PairOf<T>>(a), same_bits<PairOf<T>>(b)));
}
template <class T>
PLAIT_BOTH uint32_t product_of_pairs(uint32_t a, uint32_t b) {
  return same_bits<uint32_t>(__hmul2(same_bits<PairOf<T>>(a), same_bits<PairOf<T>>(b)));
}
template <class T>
PLAIT_BOTH uint32_t twice(float x) {
  if constexpr (std::is_same_v<T, __half>) return same_bits<uint32_t>(__half2half2(__float2half_rn(x)));
  return same_bits<uint32_t>(__bfloat162bfloat162(__float2bfloat16_rn(x)));
}

/// What a pair of codes stands for, exactly; in affine mode the codes themselves.
template <class T, Codes C, int B>
PLAIT_BOTH uint32_t numbers_of(uint32_t pair) {
  constexpr bool kHalf = std::is_same_v<T, __half>;
  if constexpr (C == Codes::affine) {
    // Codes are the last bits of 1024 and more (of 128 and more), whose step is 1.
    constexpr uint32_t kOne = kHalf ? 0x64006400 : 0x43004300;
    if constexpr (kHalf || B < 8) {
      return difference_of<T>(pair | kOne, kOne);
    } else {  // bfloat16 has 7 bits: the eighth is 128
      const uint32_t low = (pair & 0x007F007F) | kOne, without = (pair >> 7 & 0x00010001) ^ 0x00010001;
      return difference_of<T>(low, without * 0x4300);
    }
  } else if constexpr (B == 4) {
    // Exponent and last bit at the place of the type's; what is off is the bias of the exponent.
    const uint32_t sign = (pair & 0x00080008) << 12, magnitude = pair & 0x00070007;
    return kHalf ? product_of_pairs<T>(magnitude << 9 | sign, 0x74007400)
                 : product_of_pairs<T>(magnitude << 6 | sign, 0x7E807E80);
  } else {
    const auto bytes = static_cast<__nv_fp8x2_storage_t>((pair & 0xFF) | (pair >> 8 & 0xFF00));
    const __half2_raw halves = __nv_cvt_fp8x2_to_halfraw2(bytes, __NV_E4M3);
    if constexpr (kHalf) return same_bits<uint32_t>(halves);
    const float2 wide = __half22float2(same_bits<__half2>(halves));  // 4 bits: the upper half of a float holds them
    return same_bits<uint32_t>(wide.x) >> 16 | (same_bits<uint32_t>(wide.y) & 0xFFFF0000u);
  }
}

/// Whether 1 + code / 2^B is a number of type T.
template <class T, int B>
constexpr bool has_fractions() {
  return B < 8 || std::is_same_v<T, __half>;
}
/// 1 + code / 2^B of a pair of codes, exactly: in fewer steps than the codes themselves.
template <class T, int B>
PLAIT_BOTH uint32_t fractions_of(uint32_t pair) {
  constexpr bool kHalf = std::is_same_v<T, __half>;
  return pair << ((kHalf ? 10 : 7) - B) | (kHalf ? 0x3C003C00 : 0x3F803F80);
}

/// What eight codes of B bits, the `part`th of 32, give to word `word` of the 32.
template <int B>
PLAIT_BOTH uint32_t part_of_word(uint64_t eight, int part, int word) {
  const int offset = 8 * B * part - 32 * word;
  if (offset >= 32 || offset <= -64) return 0;
  return static_cast<uint32_t>(offset >= 0 ? eight << offset : eight >> -offset);
}

}  // namespace plait::cuda
