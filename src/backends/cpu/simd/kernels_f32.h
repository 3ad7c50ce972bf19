// The parts of math.h that depend on float: constants and polynomials. Coefficients come from tools/polynomials.py, under the
// name that ends the line.
#pragma once

#include "backends/cpu/simd/pairs.h"
#include "backends/cpu/simd/vec.h"

namespace plait::cpu::PLAIT_TARGET {

template <class T>
struct Kernel;

template <>
struct Kernel<float> {
  using V = Vec<float>;

  static constexpr int kMantissaBits = 23, kBias = 127;
  // Added to a value of magnitude below 2^22 it leaves the nearest integer in the low mantissa bits.
  static constexpr float kMagic = 0x1.8p23f;
  static constexpr float kSmallestNormal = 0x1p-126f;

  // e^x and 2^x are 0 or infinity beyond; e^-x reaches 1 no more beyond kExpNegligible.
  static constexpr float kExpLow = -105.0f, kExpHigh = 89.0f, kExp2Low = -152.0f, kExp2High = 129.0f,
                         kExpNegligible = 20.0f;
  // log(2) and log10(2) in two parts; a product of the first with an exponent is exact. log2(e), log10(e) in two parts.
  static constexpr float kLn2High = 0x1.62e4p-1f, kLn2Low = 0x1.7f7d1cp-20f;
  static constexpr float kLog10Of2High = 0x1.344p-2f, kLog10Of2Low = 0x1.3509f8p-18f;
  static constexpr float kLog2OfEHigh = 0x1.715476p+0f, kLog2OfELow = 0x1.4ae0cp-26f;
  static constexpr float kLog10OfEHigh = 0x1.bcb7b2p-2f, kLog10OfELow = -0x1.5b235ep-27f;
  static constexpr float kHalfPiHigh = 0x1.921fb6p+0f, kHalfPiLow = -0x1.777a5cp-25f;
  static constexpr float kLn2 = 0x1.62e43p-1f;
  static constexpr float kOverPi = 0x1.45f306p-2f;
  // Up to here x / pi, rounded to an integer, leaves a remainder that the polynomials cover.
  static constexpr float kFarAngle = 0x1p18f;
  // From here sqrt(x^2 + 1) is x; its square does not overflow.
  static constexpr float kLarge = 0x1p30f;
  // Beyond, asin goes through the square root: just where the arguments of its polynomial are equally large, about.
  static constexpr float kAsinSplit = 0.5625f;
  static constexpr float kErfIsOne = 4.0f;

  /// x - k pi, k a multiple of 1/2, |x| <= kFarAngle.
  PLAIT_SIMD V minus_multiple_of_pi(V x, V k) {
    if constexpr (kFusedMultiplyAdd) {  // Cody and Waite (1980) with 24-bit parts: the first step is exact
      return fma(k, 0x1.ee59dap-49f, fma(k, 0x1.777a5cp-24f, fma(k, -0x1.921fb6p+1f, x)));
    } else {
      const auto reduce = [](HalfOf<V> x_half, HalfOf<V> k_half) __attribute__((always_inline)) {
        const auto wide = convert<double>(k_half);
        return convert<float>(convert<double>(x_half) - wide * 0x1.921fb544p+1 - wide * 0x1.0b4611a626331p-33);
      };
      return join(reduce(low_half(x), low_half(k)), reduce(high_half(x), high_half(k)));
    }
  }

  /// The same as a sum of two.
  PLAIT_SIMD Pair<V> minus_multiple_of_pi_pair(V x, V k) {
    if constexpr (kFusedMultiplyAdd) {
      const auto p = two_product(k, splat<V>(0x1.777a5cp-24f));
      const auto r = two_sum(fma(k, -0x1.921fb6p+1f, x), p.high);
      return fast_two_sum(r.high, fma(k, 0x1.ee59dap-49f, r.low + p.low));
    } else {
      const V high = minus_multiple_of_pi(x, k);
      const auto rest = [](HalfOf<V> x_half, HalfOf<V> k_half, HalfOf<V> high_half) __attribute__((always_inline)) {
        const auto wide = convert<double>(k_half);
        return convert<float>(convert<double>(x_half) - wide * 0x1.921fb544p+1 - wide * 0x1.0b4611a626331p-33 -
                              convert<double>(high_half));
      };
      return {high,
              join(rest(low_half(x), low_half(k), low_half(high)), rest(high_half(x), high_half(k), high_half(high)))};
    }
  }

  /// (e^r - 1 - r) / r^2, |r| <= log(2) / 2
  PLAIT_SIMD V exp_tail(V r) {
    return polynomial(r, {0x1.fffffcp-2f, 0x1.55548cp-3f, 0x1.55585ap-5f, 0x1.123d6cp-7f, 0x1.6ab84p-10f});  // exp_f32
  }
  /// (2^r - 1) / r, |r| <= 1/2
  PLAIT_SIMD V exp2_head(V r) {
    return polynomial(r, {0x1.62e43p-1f, 0x1.ebfb94p-3f, 0x1.c6af9ep-5f, 0x1.3b6802p-7f, 0x1.5ef502p-10f,
                          0x1.17b66cp-13f});  // exp2_f32
  }
  /// The same to 23 bits.
  PLAIT_SIMD V exp2_head_short(V r) {
    return polynomial(
        r, {0x1.62e42ap-1f, 0x1.ebf9ap-3f, 0x1.c6b586p-5f, 0x1.3cf59ep-7f, 0x1.5ccb52p-10f});  // exp2_short_f32
  }
  /// log(1 + f) - f, -1/4 <= f < 1/2, as f^2 p(f)
  PLAIT_SIMD V log1p_tail(V f) {
    return f * f *
           polynomial(f, {-0x1p-1f, 0x1.5555acp-2f, -0x1.000082p-2f, 0x1.99670cp-3f, -0x1.54d69ep-3f, 0x1.2877ccp-3f,
                          -0x1.0e9628p-3f, 0x1.b20192p-4f, -0x1.7952d4p-5f});  // log_f32
  }
  /// (sin(r) - r) / r in z = r^2, |r| <= pi/2: c z + z^2 q(z), which rounds less often than z p(z).
  PLAIT_SIMD V sin_tail(V z) {
    return fma(z, -0x1.55554ap-3f,
               z * z * polynomial(z, {0x1.110e86p-7f, -0x1.9f613cp-13f, 0x1.5ce76ep-19f}));  // sin_f32
  }
  /// (f(x) - x) / x^3 in z = x^2; |x| <= pi/4, kAsinSplit, 1, 1/4, 1
  PLAIT_SIMD V tan_tail(V z) {
    return polynomial(z, {0x1.555568p-2f, 0x1.110b7cp-3f, 0x1.bb39f2p-5f, 0x1.58e3f8p-6f, 0x1.76b7e4p-7f,
                          -0x1.5e451cp-11f, 0x1.372d2cp-8f});  // tan_f32
  }
  PLAIT_SIMD V asin_tail(V z) {
    return polynomial(z, {0x1.555728p-3f, 0x1.3296eap-4f, 0x1.7e7814p-5f, 0x1.2f3ba2p-6f, 0x1.a382d6p-5f});  // asin_f32
  }
  PLAIT_SIMD V atan_tail(V z) {
    return polynomial(z, {-0x1.55553ep-2f, 0x1.9991e4p-3f, -0x1.2420acp-3f, 0x1.c08f94p-4f, -0x1.581766p-4f,
                          0x1.da69bap-5f, -0x1.fe17bap-6f, 0x1.64e41ap-7f, -0x1.d4db88p-10f});  // atan_f32
  }
  PLAIT_SIMD V atanh_tail(V z) {
    return polynomial(z, {0x1.55554ep-2f, 0x1.99a284p-3f, 0x1.22e798p-3f, 0x1.027b28p-3f});  // atanh_f32
  }
  PLAIT_SIMD V sinh_tail(V z) {
    return polynomial(z, {0x1.555598p-3f, 0x1.10f76p-7f, 0x1.ab4286p-13f});  // sinh_f32
  }
  /// erf(x) / x - 1 in z = x^2, |x| <= 1
  PLAIT_SIMD V erf_near(V z) {
    return polynomial(z, {0x1.06eba8p-3f, -0x1.81273ep-2f, 0x1.ce2ce6p-4f, -0x1.b7f71ap-6f, 0x1.53f224p-8f,
                          -0x1.a3515ep-11f, 0x1.4771fcp-14f});  // erf_near_f32
  }
  /// log2(erfc(1 + y)), y >= 0, as exact as 1 - erfc needs
  PLAIT_SIMD V erf_far(V y) {
    return polynomial(y, {-0x1.558eaep+1f, -0x1.e7532p+1f, -0x1.37638ap+0f, -0x1.ea7a6ep-5f, 0x1.d3957ap-7f,
                          -0x1.59520ep-9f, 0x1.18ba9cp-12f});  // erf_far_f32
  }
  /// erfinv(x) / x from w = -log(1 - x^2), as a constant and a smaller rest
  PLAIT_SIMD Pair<V> erfinv_ratio(V w) {
    const V near =
        polynomial(w, {0x1.db2a08p-3f, 0x1.7a6eb2p-7f, -0x1.31ff84p-9f, -0x1.0adac6p-13f, 0x1.74e032p-15f,
                       0x1.0d9736p-18f, -0x1.0a13ep-19f, 0x1.dbe462p-23f, -0x1.2edae4p-27f});  // erfinv_near_f32
    const V s = sqrt(w) - 3;
    const V far =
        polynomial(s, {0x1.006dc8p+0f, 0x1.3586dap-7f, -0x1.f4b5ccp-8f, 0x1.7443p-8f, -0x1.d593dap-9f, 0x1.8a059cp-10f,
                       -0x1.665c42p-14f, -0x1.53ec12p-12f, 0x1.1b19eep-13f});  // erfinv_far_f32
    const auto outer = w >= 5;
    return {select(outer, splat<V>(0x1.6a9efcp+1f), splat<V>(0x1.3ffe7p+0f)),
            select(outer, fma(s, far, -0x1.4c8a8cp-26f), fma(w, near, -0x1.747aaep-2f))};
  }
};

}  // namespace plait::cpu::PLAIT_TARGET
