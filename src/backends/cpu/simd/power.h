// x to the power y.
#pragma once

#include "backends/cpu/simd/math.h"

namespace plait::cpu::PLAIT_TARGET {

/// a^y for finite a > 0, as 2^(y log2 a) in double, where y log2 a has 35 good bits. Conversion to float rounds once.
PLAIT_SIMD Vec<float> power_magnitude(Vec<float> a, Vec<float> y) {
  using D = Vec<double>;
  using K = Kernel<double>;
  const auto half = [](HalfOf<Vec<float>> a_half, HalfOf<Vec<float>> y_half) __attribute__((always_inline)) {
    const auto [n, m] = log_parts(convert<double>(a_half));
    const D f = m - 1;
    const D log2_a =
        fma(f,
            polynomial(f, {0x1.71547652d005dp+0, -0x1.715476560b716p-1, 0x1.ec709ccd993c4p-2, -0x1.71546f28833b8p-2,
                           0x1.2777245686d61p-2, -0x1.ec75768b311dcp-3, 0x1.a60123ae8bb3p-3, -0x1.70a5c00269faap-3,
                           0x1.48b5cf1edeacdp-3, -0x1.319401b1a9c02p-3, 0x1.1c3fb3cdf6e8bp-3, -0x1.a1f6370bdb4eep-4,
                           0x1.3737176fdfe3p-5}),
            n);  // pow_log2_f32
    const D e = clamp(convert<double>(y_half) * log2_a, -200.0, 200.0);
    const D n_magic = e + K::kMagic, r = e - (n_magic - K::kMagic);
    const D p = fma(r,
                    polynomial(r, {0x1.62e430b046aa6p-1, 0x1.ebfbdc3678b18p-3, 0x1.c6aee6e590259p-5,
                                   0x1.3b2d4f9b10b5p-7, 0x1.5f3f3133623c8p-10, 0x1.41fb2d8cd033fp-13}),
                    1);  // pow_exp2_f32
    return convert<float>(p * power_of_two(n_magic));
  };
  return join(half(low_half(a), low_half(y)), half(high_half(a), high_half(y)));
}

/// a^y for finite a > 0. log2 a as a pair, to 64 bits: with s = (m - 1) / (m + 1) the first two terms of
/// log m = 2 s + 2/3 s^3 + s^5 p(s^2) are pairs, the rest is small enough for one double.
PLAIT_SIMD Vec<double> power_magnitude(Vec<double> a, Vec<double> y) {
  using V = Vec<double>;
  using K = Kernel<double>;
  const auto [n, m] = log_parts(a);
  const V f = m - 1;
  const auto d = fast_two_sum(splat<V>(2), f);
  const V quotient = f / d.high;
  const auto back = two_product(quotient, d.high);
  const Pair<V> s = {quotient, (((f - back.high) - back.low) - quotient * d.low) / d.high};
  const Pair<V> z = multiply(s, s);
  const Pair<V> cube =
      multiply(multiply(z, s), Pair<V>{splat<V>(0x1.5555555555555p-1), splat<V>(0x1.5555555555555p-55)});
  const V p =
      polynomial(z.high, {0x1.999999999a80fp-2, 0x1.249249230bf6cp-2, 0x1.c71c73bbd8ec3p-3, 0x1.745c747900af4p-3,
                          0x1.3b312fd4ff71p-3, 0x1.0e0ed92932d4cp-3, 0x1.19ecbf235bc35p-3});  // pow_log_f64
  const Pair<V> log_m =
      add(Pair<V>{2 * s.high, 2 * s.low}, Pair<V>{cube.high, fma(z.high * z.high * s.high, p, cube.low)});
  const Pair<V> log2_m = multiply(log_m, Pair<V>{splat<V>(K::kLog2OfEHigh), splat<V>(K::kLog2OfELow)});
  const Pair<V> log2_a = add(Pair<V>{n, V{}}, log2_m);  // n is 0 or larger than log2_m
  y = clamp(y, -0x1p900, 0x1p900);  // enough to overflow, small enough to be split
  const auto product = two_product(y, log2_a.high);
  const V e = clamp(product.high, K::kExp2Low, K::kExp2High);
  const V low = select(e == product.high, fma(y, log2_a.low, product.low), V{});
  const V n_magic = e + K::kMagic, n_out = n_magic - K::kMagic, r = (e - n_out) + low;
  return scale(fma(r, K::exp2_head(r), 1), n_out, n_magic);
}

/// x^y with all of C's special cases: negative x needs an integral y, x^0 and 1^y are 1 even for NaN.
template <class V>
PLAIT_SIMD V pow(V x, V y) {
  using T = LaneOf<V>;
  const V a = abs(x), infinity = splat<V>(kInfinity<V>);
  V r = power_magnitude(a, y);
  r = select((a == 0) | (a == infinity), select((a == 0) == (y > 0), V{}, infinity), r);
  r = select(is_nan(x) | is_nan(y), x + y, r);
  const auto integral = trunc(y) == y;
  const V half = y * T(0.5);
  const auto odd = integral & (trunc(half) != half);
  r = select(odd, flip_sign(r, x), r);
  r = select((x < 0) & (a < infinity) & ~integral & ~is_nan(y), splat<V>(kNaN<V>), r);
  return select((y == 0) | (x == 1) | ((a == 1) & (abs(y) == infinity)), splat<V>(1), r);
}

}  // namespace plait::cpu::PLAIT_TARGET
