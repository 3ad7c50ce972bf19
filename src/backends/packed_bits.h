#pragma once

#include <cmath>
#include <cstdint>
#include <cstring>

#ifdef __CUDACC__
#define PLAIT_BOTH __host__ __device__ inline
#else
#define PLAIT_BOTH inline
#endif

/// What codes of packed numbers stand for, and how numbers become codes: functions of bits alone, once for the CPU and for kernels of
/// devices, so that both have the same bits.
namespace plait::packed {

enum class Codes : uint8_t { affine, mxfp4, mxfp8, nvfp4 };

/// The bits of one type as another's.
template <class To, class From>
PLAIT_BOTH To same_bits(From from) {
  static_assert(sizeof(To) == sizeof(From));
  To to;
  memcpy(static_cast<void*>(&to), &from, sizeof(to));
  return to;
}

PLAIT_BOTH float magnitude_of(float x) { return ::fabsf(x); }
PLAIT_BOTH double magnitude_of(double x) { return ::fabs(x); }
PLAIT_BOTH float to_whole(float x) { return ::rintf(x); }
PLAIT_BOTH double to_whole(double x) { return ::rint(x); }

// ---- What codes stand for: E2M1 and E4M3 as the formats of Open Compute have them -------------------------------------

PLAIT_BOTH float from_float4(uint32_t code) {
  const uint32_t magnitude = code & 7;
  const uint32_t bits = magnitude == 0 ? 0 : magnitude == 1 ? 126u << 23 : (magnitude << 22) + (126u << 23);
  return same_bits<float>(bits | (code & 8) << 28);
}
/// E4M3 has no infinity, and one NaN of each sign.
PLAIT_BOTH float from_float8(uint32_t code) {
  const uint32_t magnitude = code & 0x7F;
  const uint32_t bits = magnitude == 0x7F ? 0x7FC00000u
                        : magnitude < 8   ? same_bits<uint32_t>(static_cast<float>(magnitude) * 0x1p-9f)
                                          : (magnitude << 20) + (120u << 23);
  return same_bits<float>(bits | (code & 0x80) << 24);
}
/// Two to the power of byte - 127; infinite for 255.
PLAIT_BOTH float power_of_two(uint32_t byte) { return same_bits<float>(byte == 0 ? 0x00400000u : byte << 23); }

/// The number of a code of so many bits, before its scale.
PLAIT_BOTH float number_of(Codes codes, int bits, uint32_t code) {
  return codes == Codes::affine ? static_cast<float>(code) : bits == 4 ? from_float4(code) : from_float8(code);
}
/// The scale that a byte stands for in a microscaled mode.
PLAIT_BOTH float scale_of_byte(Codes codes, uint32_t byte) {
  return codes == Codes::nvfp4 ? from_float8(byte) : power_of_two(byte);
}

// ---- Packing: floats --------------------------------------------------------------------------------------------------

/// The nearest code, of two the one nearer to 0, which has no sign; what is too large becomes the largest, NaN 0.
PLAIT_BOTH uint32_t to_float4(float x) {
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
/// The nearest code, of two the even one; what is too large becomes the largest, NaN stays.
PLAIT_BOTH uint32_t to_float8(float x) {
  const uint32_t sign = same_bits<uint32_t>(x) >> 24 & 0x80;
  if (x != x) return sign | 0x7F;
  const float size = magnitude_of(x), a = size < 448.0f ? size : 448.0f;
  if (a < 0x1p-6f) return sign | static_cast<uint32_t>(to_whole(a * 512.0f));
  const uint32_t bits = same_bits<uint32_t>(a);
  return sign | (((bits + 0x7FFFF + (bits >> 20 & 1)) >> 20) - (120u << 3));
}

/// The byte of the smallest power of two that is as large as x >= 0; of 0 that of 1.
PLAIT_BOTH uint32_t power_no_smaller(float x) {
  const uint32_t bits = same_bits<uint32_t>(x), exponent = bits >> 23, rest = bits & 0x7FFFFF;
  if (bits == 0) return 127;
  if (exponent == 0) return rest > 0x400000 ? 1 : 0;
  const uint32_t byte = exponent + (rest != 0 ? 1 : 0);
  return byte > 254 ? 254 : byte;
}
/// The byte of the scale of a group whose largest magnitude is `most`.
PLAIT_BOTH uint32_t scale_byte(Codes codes, int bits, float most) {
  const float wanted = most / (bits == 4 ? 6.0f : 448.0f);
  return codes == Codes::nvfp4 ? to_float8(wanted) : power_no_smaller(wanted);
}
/// `negative`: the sign of x, which a NaN loses on its way to a float on some devices.
PLAIT_BOTH uint32_t microscaled_code(int bits, float x, bool negative, float scale) {
  const float quotient = scale == 0 ? 0.0f : x / scale;
  if (quotient != quotient) return bits == 4 ? 0 : negative ? 0xFF : 0x7F;
  return bits == 4 ? to_float4(quotient) : to_float8(quotient);
}

// ---- Packing: mode affine ---------------------------------------------------------------------------------------------

template <class W>
struct AffineGroup {
  W scale, bias;
};
/// Scale and bias of a group from its extremes, NaN passed over; `last` is the largest code. The extreme of larger magnitude, or 0, is a
/// code exactly: weights that are large stay what they are.
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

}  // namespace plait::packed
