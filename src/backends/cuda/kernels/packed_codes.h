// Packed numbers in registers: what kernels do with a run of codes. Plain functions of bits, compiled for the host too, where tests
// compare them with the CPU's (backends/packed_numbers.h).
#pragma once

#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <cuda_fp8.h>

#include <cmath>
#include <cstdint>
#include <cstring>
#include <type_traits>

#include "backends/packed_numbers.h"

#ifdef __CUDACC__
#define PLAIT_BOTH __host__ __device__ inline
#else
#define PLAIT_BOTH inline
#endif

namespace plait::cuda {

using packed::Codes;

/// The bits of one type as another's.
template <class To, class From>
PLAIT_BOTH To same_bits(From from) {
  static_assert(sizeof(To) == sizeof(From));
  To to;
  memcpy(static_cast<void*>(&to), &from, sizeof(to));
  return to;
}

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

// ---- What codes stand for --------------------------------------------------------------------------------------------

PLAIT_BOTH float float4_number(uint32_t code) {
  const uint32_t magnitude = code & 7;
  const uint32_t bits = magnitude == 0 ? 0 : magnitude == 1 ? 126u << 23 : (magnitude << 22) + (126u << 23);
  return same_bits<float>(bits | (code & 8) << 28);
}
PLAIT_BOTH float float8_number(uint32_t code) {
  const uint32_t magnitude = code & 0x7F;
  const uint32_t bits = magnitude == 0x7F ? 0x7FC00000u
                        : magnitude < 8   ? same_bits<uint32_t>(static_cast<float>(magnitude) * 0x1p-9f)
                                          : (magnitude << 20) + (120u << 23);
  return same_bits<float>(bits | (code & 0x80) << 24);
}
PLAIT_BOTH float power_of_byte(uint32_t byte) { return same_bits<float>(byte == 0 ? 0x00400000u : byte << 23); }

template <Codes C, int B>
PLAIT_BOTH float number_of(uint32_t code) {
  if constexpr (C == Codes::affine) return static_cast<float>(code);
  return B == 4 ? float4_number(code) : float8_number(code);
}
template <Codes C>
PLAIT_BOTH float scale_of_byte(uint32_t byte) {
  return C == Codes::nvfp4 ? float8_number(byte) : power_of_byte(byte);
}

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

// ---- Packing ---------------------------------------------------------------------------------------------------------

PLAIT_BOTH float magnitude_of(float x) { return ::fabsf(x); }
PLAIT_BOTH double magnitude_of(double x) { return ::fabs(x); }
PLAIT_BOTH float to_whole(float x) { return ::rintf(x); }
PLAIT_BOTH double to_whole(double x) { return ::rint(x); }

/// Scale and bias of a group in affine mode from its extremes, NaN passed over. See reference/kernels/quantize.cpp.
template <class W>
struct AffineGroup {
  W scale, bias;
};
template <class W>
PLAIT_BOTH AffineGroup<W> affine_group(W low, W high, W last) {
  const W step = (high - low) / last, least = static_cast<W>(1e-7f);
  W scale = step < least ? least : step, bias = 0;
  const bool from_low = magnitude_of(low) > magnitude_of(high);
  if (!from_low) scale = -scale;
  const W edge = from_low ? low : high, steps = to_whole(edge / scale);
  if (steps != 0) {
    scale = edge / steps;
    bias = edge;
  }
  return {scale, bias};
}
template <class W>
PLAIT_BOTH uint32_t affine_code(W x, AffineGroup<W> of, W last) {
  const W code = to_whole((x - of.bias) / of.scale);
  return static_cast<uint32_t>(code >= 0 ? (last < code ? last : code) : W(0));  // NaN: 0
}

/// The byte of the smallest power of two that is as large as x >= 0; of 0 that of 1.
PLAIT_BOTH uint32_t power_no_smaller(float x) {
  const uint32_t bits = same_bits<uint32_t>(x), exponent = bits >> 23, rest = bits & 0x7FFFFF;
  if (bits == 0) return 127;
  if (exponent == 0) return rest > 0x400000 ? 1 : 0;
  const uint32_t byte = exponent + (rest != 0 ? 1 : 0);
  return byte > 254 ? 254 : byte;
}

PLAIT_BOTH uint32_t float4_code(float x) {
  const float a = magnitude_of(x);
  const uint32_t magnitude = a > 5.0f    ? 7
                             : a > 3.5f  ? 6
                             : a > 2.5f  ? 5
                             : a > 1.75f ? 4
                             : a > 1.25f ? 3
                             : a > 0.75f ? 2
                             : a > 0.25f ? 1
                                         : 0;
  return magnitude == 0 || x > 0 ? magnitude : 8 | magnitude;
}
PLAIT_BOTH uint32_t float8_code(float x) {
  const uint32_t sign = same_bits<uint32_t>(x) >> 24 & 0x80;
  if (x != x) return sign | 0x7F;
  const float size = magnitude_of(x), a = size < 448.0f ? size : 448.0f;
  if (a < 0x1p-6f) return sign | static_cast<uint32_t>(to_whole(a * 512.0f));
  const uint32_t bits = same_bits<uint32_t>(a);
  return sign | (((bits + 0x7FFFF + (bits >> 20 & 1)) >> 20) - (120u << 3));
}

/// The byte of the scale of a group whose largest magnitude is `most`.
template <Codes C, int B>
PLAIT_BOTH uint32_t scale_byte(float most) {
  const float wanted = most / (B == 4 ? 6.0f : 448.0f);
  return C == Codes::nvfp4 ? float8_code(wanted) : power_no_smaller(wanted);
}
/// `negative`: the sign of x, which a NaN loses on its way to a float on the device.
template <int B>
PLAIT_BOTH uint32_t microscaled_code(float x, bool negative, float scale) {
  if (scale == 0) x = 0.0f;
  if (x != x) return B == 4 ? 0 : negative ? 0xFF : 0x7F;
  const float quotient = scale == 0 ? 0.0f : x / scale;
  return B == 4 ? float4_code(quotient) : float8_code(quotient);
}

/// What eight codes of B bits, the `part`th of 32, give to word `word` of the 32.
template <int B>
PLAIT_BOTH uint32_t part_of_word(uint64_t eight, int part, int word) {
  const int offset = 8 * B * part - 32 * word;
  if (offset >= 32 || offset <= -64) return 0;
  return static_cast<uint32_t>(offset >= 0 ? eight << offset : eight >> -offset);
}

}  // namespace plait::cuda
