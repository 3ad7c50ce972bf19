// float16 and bfloat16, held as their bits in 16-bit lanes, to float and back: to nearest even, NaN stays NaN (quiet), infinity
// and subnormals are kept. Vectors have the lane count of Vec<float>, so a narrow vector is half a register.
#pragma once

#include "backends/cpu/simd/vec.h"

namespace plait::cpu::PLAIT_TARGET {

/// The bits of kLanes<float> values of 16 bits.
using HalfBits = VecN<uint16_t, kLanes<float>>;

PLAIT_SIMD Vec<float> widen_bf16(HalfBits h) { return bit_cast<Vec<float>>(convert<uint32_t>(h) << 16); }

PLAIT_SIMD HalfBits narrow_bf16(Vec<float> x) {
  const auto bits = bit_cast<Vec<uint32_t>>(x);
  const auto rounded = bits + 0x7fff + ((bits >> 16) & 1);  // a carry into the exponent is what rounding up means
  return convert<uint16_t>(select(is_nan(x), bits | 0x400000, rounded) >> 16);
}

PLAIT_SIMD Vec<float> widen_f16(HalfBits h) {
#if defined(PLAIT_SIMD_AVX512)
  return (Vec<float>)_mm512_cvtph_ps((__m256i)h);
#elif defined(PLAIT_SIMD_AVX2)
  return (Vec<float>)_mm256_cvtph_ps((__m128i)h);
#elif defined(__aarch64__)
  return (Vec<float>)vcvt_f32_f16((float16x4_t)h);
#else
  const auto wide = convert<uint32_t>(h);
  const auto magnitude = (wide & 0x7fff) << 13;
  // The exponent's bias differs by 112; a product corrects it for subnormals too. Infinity and NaN need all ones.
  const auto scaled = bit_cast<Vec<uint32_t>>(bit_cast<Vec<float>>(magnitude) * 0x1p112f);
  const auto special = bit_cast<Vec<uint32_t>>((wide & 0x7c00) == 0x7c00) & 0x7f800000;
  const auto quiet = bit_cast<Vec<uint32_t>>((wide & 0x7fff) > 0x7c00) & 0x400000;
  return bit_cast<Vec<float>>(scaled | special | quiet | ((wide & 0x8000) << 16));
#endif
}

PLAIT_SIMD HalfBits narrow_f16(Vec<float> x) {
#if defined(PLAIT_SIMD_AVX512)
  return (HalfBits)_mm512_cvtps_ph((__m512)x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
#elif defined(PLAIT_SIMD_AVX2)
  return (HalfBits)_mm256_cvtps_ph((__m256)x, _MM_FROUND_TO_NEAREST_INT);
#elif defined(__aarch64__)
  return (HalfBits)vcvt_f16_f32((float32x4_t)x);
#else
  const auto bits = bit_cast<Vec<uint32_t>>(x);
  const auto magnitude = bits & 0x7fffffff;
  const auto normal = (magnitude - (112u << 23) + 0xfff + ((magnitude >> 13) & 1)) >> 13;
  // Below 2^-14 the result is a multiple of 2^-24, the spacing of floats at 0.5: the sum rounds, the difference counts.
  const auto subnormal = bit_cast<Vec<uint32_t>>(abs(x) + 0.5f) - 0x3f000000;
  const auto large = select(magnitude > 0x7f800000, ((magnitude >> 13) & 0x3ff) | 0x7e00, splat<Vec<uint32_t>>(0x7c00));
  auto h = select(magnitude < 0x38800000, subnormal, normal);
  h = select(magnitude >= 0x47800000, large, h);
  return convert<uint16_t>(h | ((bits >> 16) & 0x8000));
#endif
}

}  // namespace plait::cpu::PLAIT_TARGET
