// Elementary functions of Vec<float> and Vec<double>.
//
// Each is a pure function of vectors, within 2 ULP of the true value (README.md has the measured figures), with the special
// values of C's Annex F. There are no branches per lane; only huge angles send a vector down a slow path. What depends on the
// element type (constants, polynomials) is in kernels_f32.h and kernels_f64.h.
#pragma once

#if !defined(__CUDACC__)
#include <math.h>
#endif

#include "backends/cpu/simd/kernels_f32.h"
#include "backends/cpu/simd/kernels_f64.h"
#include "backends/cpu/simd/pairs.h"
#include "backends/cpu/simd/vec.h"

namespace plait::cpu::PLAIT_TARGET {

template <class V>
using KernelOf = Kernel<LaneOf<V>>;

// --- powers of two ---------------------------------------------------------------------------------------------------

/// 2^(n + offset) for results in the normal range; `n_magic` is n + kMagic.
template <int kOffset = 0, class V>
PLAIT_SIMD V power_of_two(V n_magic) {
  using K = KernelOf<V>;
  using U = UnsignedBitsOf<V>;
  constexpr auto kOne = static_cast<LaneOf<U>>(K::kBias + kOffset) << K::kMantissaBits;
  return bit_cast<V>((bit_cast<U>(n_magic) << K::kMantissaBits) + kOne);
}

/// p * 2^n for p near 1 and any n whose half is in the normal range. Rounds once into the subnormals.
template <class V>
PLAIT_SIMD V scale(V p, [[maybe_unused]] V n, [[maybe_unused]] V n_magic) {
#if defined(PLAIT_SIMD_SCALES)
  return scale_by(p, n);
#else
  using K = KernelOf<V>;
  using U = UnsignedBitsOf<V>;
  constexpr LaneOf<U> kEven = K::kBias + 1;
  const U i = bit_cast<U>(n_magic) - bit_cast<LaneOf<U>>(K::kMagic);
  const U half = (i + 2 * kEven) >> 1;  // n / 2 + kEven, unsigned because AVX2 shifts no signed 64-bit lanes
  return p * bit_cast<V>((half - 1) << K::kMantissaBits) * bit_cast<V>((i + 2 * kEven - 1 - half) << K::kMantissaBits);
#endif
}

// --- exponentials ----------------------------------------------------------------------------------------------------

template <class V>
struct ExpParts {  // exp(x) = 2^n exp(r), |r| <= log(2) / 2, exp(r) = 1 + tail
  V n, n_magic, tail;
};
/// kCareful: put back what r loses in rounding, for results that are differences.
template <bool kCareful = false, class V>
PLAIT_SIMD ExpParts<V> exp_parts(V x) {
  using K = KernelOf<V>;
  const V n_magic = fma(x, K::kLog2OfEHigh, K::kMagic);
  const V n = n_magic - K::kMagic;
  const V high = fma(n, -K::kLn2High, x), r = fma(n, -K::kLn2Low, high);
  if constexpr (kCareful) return {n, n_magic, r + fma(r * r, K::exp_tail(r), fma(n, -K::kLn2Low, high - r))};
  return {n, n_magic, fma(r * r, K::exp_tail(r), r)};
}

/// e^x: a polynomial on +-log(2)/2 times a power of two.
template <class V>
PLAIT_SIMD V exp(V x) {
  using K = KernelOf<V>;
  const auto e = exp_parts(clamp(x, K::kExpLow, K::kExpHigh));
  return scale(e.tail + 1, e.n, e.n_magic);
}

/// 2^x: a polynomial on +-1/2 times a power of two; exact for integers.
template <class V>
PLAIT_SIMD V exp2(V x) {
  using K = KernelOf<V>;
  x = clamp(x, K::kExp2Low, K::kExp2High);
  const V n_magic = x + K::kMagic, n = n_magic - K::kMagic, r = x - n;
  return scale(fma(r, K::exp2_head(r), 1), n, n_magic);
}

/// e^x - 1 = 2^n tail + (2^n - 1), in halves so that 2^n does not overflow before the result does.
template <class V>
PLAIT_SIMD V expm1(V x) {
  using K = KernelOf<V>;
  const auto e = exp_parts<true>(clamp(x, -K::kExpNegligible, K::kExpHigh));
  const V half = power_of_two<-1>(e.n_magic);
  const V general = 2 * fma(half, e.tail, half - LaneOf<V>(0.5));
  return copysign(select(e.n == 0, e.tail, general), x);
}

// --- logarithms ------------------------------------------------------------------------------------------------------

template <class V>
struct LogParts {  // x = 2^n m, m in [0.75, 1.5)
  V n, m;
};
/// For x > 0, also subnormal. On AVX-512 n is infinite where x is 0 or infinity, and m is NaN where x is NaN or negative.
template <class V>
PLAIT_SIMD LogParts<V> log_parts(V x) {
#if defined(PLAIT_SIMD_SCALES)
  const V m = mantissa_of(x), n = exponent_of(x);
  return {select(m < 1, n + 1, n), m};
#else
  using K = KernelOf<V>;
  using U = UnsignedBitsOf<V>;
  using T = LaneOf<V>;
  constexpr auto kOne = bit_cast<LaneOf<U>>(T(1)), kThreeQuarters = bit_cast<LaneOf<U>>(T(0.75));
  constexpr T kLift = T(1ull << (K::kMantissaBits + 1)), kZero = K::kMagic + K::kBias;
  const auto tiny = x < K::kSmallestNormal;
  const U bits = bit_cast<U>(select(tiny, x * kLift, x));
  const U biased = (bits + (kOne - kThreeQuarters)) >> K::kMantissaBits;
  const V n = bit_cast<V>(biased + bit_cast<LaneOf<U>>(K::kMagic)) -
              select(tiny, splat<V>(kZero + K::kMantissaBits + 1), splat<V>(kZero));
  return {n, bit_cast<V>(bits - (biased << K::kMantissaBits) + kOne)};
#endif
}
/// `r`, a logarithm of x where that is positive and finite, put right elsewhere.
template <class V>
PLAIT_SIMD V log_special([[maybe_unused]] V x, V r) {
#if !defined(PLAIT_SIMD_SCALES)  // there log_parts leads to the right values by itself
  r = select(x > 0, r, select(x == 0, splat<V>(-kInfinity<V>), splat<V>(kNaN<V>)));
  r = select(x == kInfinity<V>, x, r);
#endif
  return r;
}

/// log x = n log(2) + log(m)
template <class V>
PLAIT_SIMD V log(V x) {
  using K = KernelOf<V>;
  const auto [n, m] = log_parts(x);
  const V f = m - 1;
  return log_special(x, fma(n, K::kLn2High, f + fma(n, K::kLn2Low, K::log1p_tail(f))));
}

/// log(1 + x): what 1 + x loses in rounding is added to the mantissa. kPair: `low` is added to x.
template <bool kPair = false, class V>
PLAIT_SIMD V log1p(V x, [[maybe_unused]] V low = V{}) {
  using K = KernelOf<V>;
  using U = UnsignedBitsOf<V>;
  const V u = 1 + x;
  V lost = x - (u - 1);
  if constexpr (kPair) lost += low;
  const auto [n, m] = log_parts(u);
  const V unscale = bit_cast<V>(bit_cast<U>(m) - bit_cast<U>(u) + bit_cast<LaneOf<U>>(LaneOf<V>(1)));  // 2^-n
  const V f = select(u < kIntegral<V>, fma(lost, unscale, m - 1), m - 1);
  V tail = fma(n, K::kLn2Low, K::log1p_tail(f));
  if constexpr (kPair) tail += select(u < kIntegral<V>, lost * unscale - (f - (m - 1)), V{});
  return copysign(log_special(u, fma(n, K::kLn2High, f + tail)), x);
}

/// log2 x = n + log(m) / log(2); exact for powers of two.
template <class V>
PLAIT_SIMD V log2(V x) {
  using K = KernelOf<V>;
  const auto [n, m] = log_parts(x);
  const V f = m - 1;
  const V low = fma(K::log1p_tail(f), K::kLog2OfEHigh, f * K::kLog2OfELow);
  const auto p = two_product(f, splat<V>(K::kLog2OfEHigh));
  return log_special(x, (n + p.high) + (p.low + low));
}

/// log10 x = n log10(2) + log(m) / log(10)
template <class V>
PLAIT_SIMD V log10(V x) {
  using K = KernelOf<V>;
  const auto [n, m] = log_parts(x);
  const V f = m - 1;
  const V low = fma(K::log1p_tail(f), K::kLog10OfEHigh, fma(f, K::kLog10OfELow, n * K::kLog10Of2Low));
  const auto p = two_product(f, splat<V>(K::kLog10OfEHigh));
  return log_special(x, fma(n, K::kLog10Of2High, p.high) + (p.low + low));
}

// --- circular functions ----------------------------------------------------------------------------------------------

/// Which function far_angles works out.
struct Sin {};
struct Cos {};
struct Tan {};
#if defined(__CUDACC__)
template <class Function, class V>
PLAIT_RARE V far_angles(V x, V near);  // backends/cuda/regions/device/far_angles.cuh
#else
PLAIT_SIMD double far_angle(Sin, double x) { return ::sin(x); }
PLAIT_SIMD double far_angle(Cos, double x) { return ::cos(x); }
PLAIT_SIMD double far_angle(Tan, double x) { return ::tan(x); }

/// Lanes with |x| above kFarAngle by the C library, whose double functions reduce any argument.
template <class Function, class V>
PLAIT_RARE V far_angles(V x, V near) {
  for (int i = 0; i < kLanesOf<V>; ++i) {
    if (__builtin_fabs(x[i]) > KernelOf<V>::kFarAngle) near[i] = static_cast<LaneOf<V>>(far_angle(Function{}, x[i]));
  }
  return near;
}
#endif

/// The sign bit set where the integer n is odd; `n_magic` is n + kMagic.
template <class V>
PLAIT_SIMD V sign_if_odd(V n_magic) {
  return bit_cast<V>(bit_cast<UnsignedBitsOf<V>>(n_magic) << (8 * sizeof(LaneOf<V>) - 1));
}

/// sin x = (-1)^n sin(|x| - n pi), with the sign of x.
template <class V>
PLAIT_SIMD V sin(V x) {
  using K = KernelOf<V>;
  const V a = abs(x);
  const V n_magic = fma(a, K::kOverPi, K::kMagic);
  const V r = K::minus_multiple_of_pi(a, n_magic - K::kMagic);
  const V y = flip_sign(flip_sign(fma(r, K::sin_tail(r * r), r), sign_if_odd(n_magic)), x);
  if (__builtin_expect(any(a > K::kFarAngle), 0)) return far_angles<Sin>(x, y);
  return y;
}

/// cos x = (-1)^n sin((n + 1/2) pi - |x|)
template <class V>
PLAIT_SIMD V cos(V x) {
  using K = KernelOf<V>;
  using T = LaneOf<V>;
  const V a = abs(x);
  const V n_magic = fma(a, K::kOverPi, T(-0.5)) + K::kMagic;
  const V r = -K::minus_multiple_of_pi(a, n_magic - K::kMagic + T(0.5));
  const V y = flip_sign(fma(r, K::sin_tail(r * r), r), sign_if_odd(n_magic));
  if (__builtin_expect(any(a > K::kFarAngle), 0)) return far_angles<Cos>(x, y);
  return y;
}

/// tan x = tan(r) or -1 / tan(r), r = |x| - n pi/2, with the sign of x.
template <class V>
PLAIT_SIMD V tan(V x) {
  using K = KernelOf<V>;
  const V a = abs(x);
  const V n_magic = fma(a, 2 * K::kOverPi, K::kMagic);
  const auto [r, low] = K::minus_multiple_of_pi_pair(a, (n_magic - K::kMagic) * LaneOf<V>(0.5));
  const V z = r * r, tail = fma(r * z, K::tan_tail(z), fma(z, low, low)), t = r + tail;
  // The reciprocal of r + tail, put right by what its product with that lacks to -1.
  const V q = -1 / t;
  const auto product = two_product(q, t);
  const V lacking = (product.high + 1) + fma(q, (r - t) + tail, product.low);
  const V y = flip_sign(select(sign_bit_set(sign_if_odd(n_magic)), fma(q, lacking, q), t), x);
  if (__builtin_expect(any(a > K::kFarAngle), 0)) return far_angles<Tan>(x, y);
  return y;
}

// --- their inverses --------------------------------------------------------------------------------------------------

template <class V>
struct
    AsinParts {  // |x| <= kAsinSplit: p = asin|x|; beyond: p = asin(sqrt((1 - |x|) / 2)), so that asin|x| = pi/2 - 2 p
  MaskOf<V> outer;
  V p;
};
template <class V>
PLAIT_SIMD AsinParts<V> asin_parts(V x) {
  using T = LaneOf<V>;
  const V a = abs(x);
  const auto outer = a > KernelOf<V>::kAsinSplit;
  const V z = select(outer, (1 - a) * T(0.5), a * a);
  const V s = select(outer, sqrt(z), a);
  return {outer, fma(s * z, KernelOf<V>::asin_tail(z), s)};
}
template <class V>
PLAIT_SIMD V asin(V x) {
  using K = KernelOf<V>;
  const auto [outer, p] = asin_parts(x);
  constexpr auto kQuarterPi = K::kHalfPiHigh / 2;  // taken away twice, so that the first difference is exact
  return copysign(select(outer, kQuarterPi - (fma(p, 2, -kQuarterPi) - K::kHalfPiLow), p), x);
}
template <class V>
PLAIT_SIMD V acos(V x) {
  using K = KernelOf<V>;
  const auto [outer, p] = asin_parts(x);
  const V from_half_pi = K::kHalfPiHigh - (select(outer, p, flip_sign(p, x)) - K::kHalfPiLow);
  return select(outer, 2 * select(x > 0, p, from_half_pi), from_half_pi);
}

/// The angle of (x, y) in the first quadrant, x >= 0, y >= 0: atan(min / max), mirrored where y is larger.
template <class V>
PLAIT_SIMD V atan_first_quadrant(V y, V x) {
  using K = KernelOf<V>;
  const V low = min_or_second(x, y), high = max_or_second(y, x);  // one of them is NaN if x or y is
  const V t = select(low == high, select(high == 0, V{}, splat<V>(1)), low / high);
  const V z = t * t, p = fma(t * z, K::atan_tail(z), t);
  return select(y > x, K::kHalfPiHigh - (p - K::kHalfPiLow), p);
}
template <class V>
PLAIT_SIMD V atan(V x) {
  return copysign(atan_first_quadrant(abs(x), splat<V>(1)), x);
}
template <class V>
PLAIT_SIMD V atan2(V y, V x) {
  using K = KernelOf<V>;
  const V angle = atan_first_quadrant(abs(y), abs(x));
  return copysign(select(sign_bit_set(x), 2 * K::kHalfPiHigh - (angle - 2 * K::kHalfPiLow), angle), y);
}

// --- hyperbolic functions --------------------------------------------------------------------------------------------

/// e^a / 2 for a >= 0, infinite only where that is.
template <class V>
PLAIT_SIMD V half_exp(V a) {
  using K = KernelOf<V>;
  const auto e = exp_parts(min_or_second(splat<V>(K::kExpHigh + 1), a));
  return scale(e.tail + 1, e.n - 1, e.n_magic - 1);
}
/// sinh|x| = e - 1 / (4 e), e = e^|x| / 2; a polynomial below 1.
template <class V>
PLAIT_SIMD V sinh(V x) {
  const V a = abs(x), e = half_exp(a), z = a * a;
  const V near = fma(a * z, KernelOf<V>::sinh_tail(z), a);
  return copysign(select(a < 1, near, e - LaneOf<V>(0.25) / e), x);
}
template <class V>
PLAIT_SIMD V cosh(V x) {
  const V e = half_exp(abs(x));
  return e + LaneOf<V>(0.25) / e;
}
/// tanh|x| = -t / (2 + t), t = expm1(-2|x|) = 2^n (1 + tail) - 1.
template <class V>
PLAIT_SIMD V tanh(V x) {
  using K = KernelOf<V>;
  const auto e = exp_parts < sizeof(LaneOf<V>) == 8 > (max_or_second(splat<V>(-K::kExpNegligible), abs(x) * -2));
  const V s = power_of_two(e.n_magic);
  return copysign(fma(s, e.tail, s - 1) / fma(s, e.tail, s + 1), x);
}

/// log(a + sqrt(a^2 + 1)), a = |x|, rewritten for log1p.
template <class V>
PLAIT_SIMD V asinh(V x) {
  using K = KernelOf<V>;
  const V a = abs(x), square = a * a;
  const auto large = a > K::kLarge;
  const V v = select(large, a, a + square / (1 + sqrt(1 + square)));
  return copysign(log1p(v) + select(large, splat<V>(K::kLn2), V{}), x);
}
/// log(x + sqrt(x^2 - 1)) with t = x - 1, rewritten for log1p.
template <class V>
PLAIT_SIMD V acosh(V x) {
  using K = KernelOf<V>;
  const V t = x - 1;
  const auto large = x > K::kLarge;
  const auto v = two_sum(t, sqrt(fma(t, t, 2 * t)));
  const V r = log1p<true>(select(large, x, v.high), select(large, V{}, v.low)) + select(large, splat<V>(K::kLn2), V{});
  return select(x < 1, splat<V>(kNaN<V>), r);
}
/// log((1 + a) / (1 - a)) / 2, a = |x|, rewritten for log1p; a polynomial below 1/4.
template <class V>
PLAIT_SIMD V atanh(V x) {
  using T = LaneOf<V>;
  const V a = abs(x), z = a * a;
  const V near = fma(a * z, KernelOf<V>::atanh_tail(z), a);
  return copysign(select(a < T(0.25), near, T(0.5) * log1p(2 * a / (1 - a))), x);
}

// --- error function --------------------------------------------------------------------------------------------------

/// |x| < 1: x + x p(x^2); beyond: 1 - erfc|x|, erfc = 2^q(|x| - 1).
template <class V>
PLAIT_SIMD V erf(V x) {
  using K = KernelOf<V>;
  const V a = min_or_second(splat<V>(K::kErfIsOne), abs(x));
  const V near = fma(a, K::erf_near(a * a), a);
  const V log2_erfc = K::erf_far(a - 1);
  const V n_magic = log2_erfc + K::kMagic;
  const V r = log2_erfc - (n_magic - K::kMagic);
  const V s = power_of_two(n_magic);
  const V far = fma(s * r, -K::exp2_head_short(r), 1 - s);
  return copysign(select(a < 1, near, far), x);
}

/// x p(w), w = -log(1 - x^2), with further polynomials, in sqrt(w), for the ends (M. Giles, 2010).
template <class V>
PLAIT_SIMD V erfinv(V x) {
  using K = KernelOf<V>;
  if constexpr (sizeof(LaneOf<V>) == 4 && !kFusedMultiplyAdd) {  // products and sums rounded apart would exceed 2 ULP
    return join(convert<float>(erfinv(convert<double>(low_half(x)))),
                convert<float>(erfinv(convert<double>(high_half(x)))));
  }
  const V a = abs(x);
  const V w = -log((1 - a) * (1 + a));
  const auto ratio = K::erfinv_ratio(w);
  return copysign(select(a == 1, splat<V>(kInfinity<V>), fma(a, ratio.high, a * ratio.low)), x);
}

}  // namespace plait::cpu::PLAIT_TARGET
