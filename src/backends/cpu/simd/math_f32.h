// Elementary functions of float vectors: exponentials, logarithms, circular and hyperbolic functions, erf.
//
// Each is a pure function of Vec<float>, at most 2 ULP from the true value (README.md has the figures), with the special
// values of C's Annex F. Coefficients come from tools/polynomials.py, under the names given in the comments. There are no
// branches per lane; a vector with a rare argument may take a slow path.
#pragma once

#include <math.h>

#include "backends/cpu/simd/vec.h"

namespace plait::cpu::PLAIT_TARGET {

using F32 = Vec<float>;
using I32 = Vec<int32_t>;

// --- exponentials ----------------------------------------------------------------------------------------------------

// Added to a float of magnitude below 2^22 it leaves the nearest integer in the low mantissa bits.
constexpr float kMagicF32 = 0x1.8p23f;
// log(2) in two parts; a product of the first with an integer below 2^9 is exact.
constexpr float kLn2HighF32 = 0x1.62e4p-1f, kLn2LowF32 = 0x1.7f7d1cp-20f;

/// p * 2^n where n is integral, |n| <= 252 and p near 1; `n_magic` is n + kMagicF32. Rounds once into the subnormals.
PLAIT_SIMD F32 scale(F32 p, [[maybe_unused]] F32 n, [[maybe_unused]] F32 n_magic) {
#if defined(PLAIT_SIMD_AVX512)
  return (F32)_mm512_scalef_ps((__m512)p, (__m512)n);
#else
  const I32 i = bit_cast<I32>(n_magic) - bit_cast<int32_t>(kMagicF32);
  const I32 half = i >> 1;
  return p * bit_cast<F32>((half + 127) << 23) * bit_cast<F32>((i - half + 127) << 23);
#endif
}
/// 2^n for -126 <= n <= 127, from n + kMagicF32.
PLAIT_SIMD F32 power_of_two(F32 n_magic) {
  return bit_cast<F32>((bit_cast<I32>(n_magic) << 23) + 0x3f800000);
}

struct ExpParts {  // exp(x) = 2^n exp(r), |r| <= log(2) / 2, exp(r) = 1 + tail
  F32 n, n_magic, tail;
};
PLAIT_SIMD ExpParts exp_parts(F32 x) {
  const F32 n_magic = fma(x, 0x1.715476p+0f, kMagicF32);
  const F32 n = n_magic - kMagicF32;
  const F32 r = fma(n, -kLn2LowF32, fma(n, -kLn2HighF32, x));
  constexpr float kTail[] = {0x1.fffffcp-2f, 0x1.55548cp-3f, 0x1.55585ap-5f, 0x1.123d6cp-7f, 0x1.6ab84p-10f};  // exp_f32
  return {n, n_magic, fma(r * r, polynomial(r, kTail), r)};
}

/// e^x: e^r with r in +-log(2)/2 by a polynomial of degree 6, times a power of two. Subnormal results are right.
PLAIT_SIMD F32 exp(F32 x) {
  const ExpParts e = exp_parts(clamp(x, -105.0f, 89.0f));
  return scale(e.tail + 1.0f, e.n, e.n_magic);
}

/// 1 / (1 + e^-x), from e^-|x| so that nothing overflows and small results keep their digits.
PLAIT_SIMD F32 sigmoid(F32 x) {
  const F32 e = exp(-abs(x));
  const F32 d = 1.0f + e, lost = (1.0f - d) + e;  // d + lost is exact
  const F32 q = select(x < 0, e, splat<F32>(1)) / d;
  return fma(-lost, q, q);
}

/// tanh |x| = -t / (2 + t), t = expm1(-2|x|) = 2^n (1 + tail) - 1.
PLAIT_SIMD F32 tanh(F32 x) {
  const ExpParts e = exp_parts(max_or_second(splat<F32>(-20.0f), abs(x) * -2.0f));
  const F32 s = power_of_two(e.n_magic);
  return copysign(fma(s, e.tail, s - 1.0f) / fma(s, e.tail, s + 1.0f), x);
}

// --- logarithms ------------------------------------------------------------------------------------------------------

struct LogParts {  // x = 2^n (1 + f), 1 + f in [0.75, 1.5)
  F32 n, f;
};
/// For x > 0, also subnormal. Infinity has n = infinity on AVX-512 only.
PLAIT_SIMD LogParts log_parts(F32 x) {
#if defined(PLAIT_SIMD_AVX512)
  const F32 m = (F32)_mm512_getmant_ps((__m512)x, _MM_MANT_NORM_p75_1p5, _MM_MANT_SIGN_nan);
  const F32 n = (F32)_mm512_getexp_ps((__m512)x);
  return {select(m < 1, n + 1.0f, n), m - 1.0f};
#else
  const MaskOf<F32> tiny = x < 0x1p-126f;
  const I32 bits = bit_cast<I32>(select(tiny, x * 0x1p24f, x));
  const I32 n = (bits - 0x3f400000) >> 23;
  return {convert<float>(n - (tiny & 24)), bit_cast<F32>(bits - (n << 23)) - 1.0f};
#endif
}
/// `r`, the logarithm of x where that is positive and finite, corrected elsewhere.
PLAIT_SIMD F32 log_special(F32 x, F32 r) {
#if defined(PLAIT_SIMD_AVX512)
  // Nothing but -0 is wrong: getexp and getmant turn 0, infinity, NaN and negative values into the right thing.
  (void)x;
  return r;
#else
  r = select(x > 0, r, select(x == 0, splat<F32>(-kInfinity<F32>), splat<F32>(kNaN<F32>)));
  return select(x == kInfinity<F32>, x, r);
#endif
}

/// log x = n log(2) + log(1 + f), log(1 + f) = f + f^2 p(f).
PLAIT_SIMD F32 log(F32 x) {
  const LogParts a = log_parts(x);
  constexpr float kTail[] = {-0x1p-1f,        0x1.5555acp-2f,  -0x1.000082p-2f, 0x1.99670cp-3f, -0x1.54d69ep-3f,
                             0x1.2877ccp-3f, -0x1.0e9628p-3f, 0x1.b20192p-4f,  -0x1.7952d4p-5f};  // log_f32
  const F32 low = fma(a.f * a.f, polynomial(a.f, kTail), a.n * kLn2LowF32);
  return log_special(x, fma(a.n, kLn2HighF32, a.f + low));
}

// --- circular functions ----------------------------------------------------------------------------------------------

// Up to here a float times 1/pi, rounded to an integer, leaves a remainder that the polynomial covers.
constexpr float kFarAngleF32 = 0x1p18f;

/// Lanes with |x| above kFarAngleF32 by the C library, whose double functions reduce any argument.
template <double (*kFunction)(double)>
PLAIT_RARE F32 far_angles(F32 x, F32 near) {
  for (int i = 0; i < kLanesOf<F32>; ++i) {
    if (__builtin_fabsf(x[i]) > kFarAngleF32) near[i] = static_cast<float>(kFunction(x[i]));
  }
  return near;
}

/// x - k pi, for k an integer or half one and |x| <= kFarAngleF32.
PLAIT_SIMD F32 minus_multiple_of_pi(F32 x, F32 k) {
  if constexpr (kFusedMultiplyAdd) {  // Cody and Waite (1980) with 24-bit parts: the first step is exact
    return fma(k, 0x1.ee59dap-49f, fma(k, 0x1.777a5cp-24f, fma(k, -0x1.921fb6p+1f, x)));
  } else {
    const auto reduce = [](HalfOf<F32> x_half, HalfOf<F32> k_half) __attribute__((always_inline)) {
      const auto k_wide = convert<double>(k_half);
      return convert<float>(convert<double>(x_half) - k_wide * 0x1.921fb544p+1 - k_wide * 0x1.0b4611a626331p-33);
    };
    return join(reduce(low_half(x), low_half(k)), reduce(high_half(x), high_half(k)));
  }
}
/// sin r for |r| <= pi/2, and a little more: r + r (c z + z^2 q(z)), z = r^2, which rounds less often than r + r^3 p(z).
PLAIT_SIMD F32 sin_polynomial(F32 r) {
  const F32 z = r * r;
  constexpr float kFirst = -0x1.55554ap-3f, kTail[] = {0x1.110e86p-7f, -0x1.9f613cp-13f, 0x1.5ce76ep-19f};  // sin_f32
  return fma(r, fma(z, kFirst, z * z * polynomial(z, kTail)), r);
}

/// sin x = (-1)^n sin(|x| - n pi), with the sign of x.
PLAIT_SIMD F32 sin(F32 x) {
  const F32 a = abs(x);
  const F32 n_magic = fma(a, 0x1.45f306p-2f, kMagicF32);
  const F32 r = minus_multiple_of_pi(a, n_magic - kMagicF32);
  const F32 odd = bit_cast<F32>(bit_cast<I32>(n_magic) << 31);
  const F32 y = flip_sign(flip_sign(sin_polynomial(r), odd), x);
  if (__builtin_expect(any(a > kFarAngleF32), 0)) return far_angles<::sin>(x, y);
  return y;
}
/// cos x = -(-1)^n sin(|x| - (n + 1/2) pi).
PLAIT_SIMD F32 cos(F32 x) {
  const F32 a = abs(x);
  const F32 n_magic = fma(a, 0x1.45f306p-2f, -0.5f) + kMagicF32;
  const F32 r = minus_multiple_of_pi(a, n_magic - kMagicF32 + 0.5f);
  const F32 odd = bit_cast<F32>(bit_cast<I32>(n_magic) << 31);
  const F32 y = flip_sign(sin_polynomial(-r), odd);
  if (__builtin_expect(any(a > kFarAngleF32), 0)) return far_angles<::cos>(x, y);
  return y;
}

// --- error function --------------------------------------------------------------------------------------------------

/// |x| < 1: x + x p(x^2); beyond: 1 - 2^p(|x| - 1), where erfc needs only the bits that reach 1.
PLAIT_SIMD F32 erf(F32 x) {
  const F32 a = min_or_second(splat<F32>(4.0f), abs(x));
  constexpr float kNear[] = {0x1.06eba8p-3f, -0x1.81273ep-2f, 0x1.ce2ce6p-4f, -0x1.b7f71ap-6f, 0x1.53f224p-8f, -0x1.a3515ep-11f, 0x1.4771fcp-14f};  // erf_near_f32
  constexpr float kFar[] = {-0x1.558eaep+1f, -0x1.e7532p+1f, -0x1.37638ap+0f, -0x1.ea7a6ep-5f, 0x1.d3957ap-7f, -0x1.59520ep-9f, 0x1.18ba9cp-12f};  // erf_far_f32
  constexpr float kExp2[] = {0x1.62e42ap-1f, 0x1.ebf9ap-3f, 0x1.c6b586p-5f, 0x1.3cf59ep-7f, 0x1.5ccb52p-10f};  // exp2_short_f32
  const F32 near = fma(a, polynomial(a * a, kNear), a);
  const F32 log2_erfc = polynomial(a - 1.0f, kFar);
  const F32 n_magic = log2_erfc + kMagicF32;
  const F32 r = log2_erfc - (n_magic - kMagicF32);
  const F32 s = power_of_two(n_magic);
  const F32 far = fma(s * r, -polynomial(r, kExp2), 1.0f - s);
  return flip_sign(select(a < 1, near, far), x);
}

}  // namespace plait::cpu::PLAIT_TARGET
