// Sines, cosines and tangents of huge angles (M. Payne and R. Hanek, 1983): the part of x / pi that matters comes from a product of
// the mantissa with those bits of 1 / pi that are neither multiples of 2 nor too small to be seen.
#pragma once

#include "backends/cpu/simd/math.h"

namespace plait::cpu::device {

/// The bits of 1 / pi; the highest of the first word stands for 2^63.
static __device__ const unsigned long long kOverPiBits[] = {
    0x0000000000000000ull, 0x517cc1b727220a94ull, 0xfe13abe8fa9a6ee0ull, 0x6db14acc9e21c820ull, 0xff28b1d5ef5de2b0ull,
    0xdb92371d2126e970ull, 0x0324977504e8c90eull, 0x7f0ef58e5894d39full, 0x74411afa975da242ull, 0x74ce38135a2fbf20ull,
    0x9cc8eb1cc1a99cfaull, 0x4e422fc5defc941dull, 0x8ffc4bffef02cc07ull, 0xf79788c5ad05368full, 0xb69b3f6793e584dbull,
    0xa7a31fb34f2ff516ull, 0xba93dd63f5f2f8bdull, 0x9e839cfbc5294975ull, 0x35fdafd88fc6ae84ull, 0x2b0198237e3db5d5ull,
    0xf867de104d7a1b0eull,
};

/// |x| = pi (whole + fraction), whole modulo 2, fraction in units of 2^-191.
struct Turns {
  bool odd;
  unsigned long long word[3];  // of the fraction, lowest first
};
PLAIT_SIMD Turns turns_of(double x) {
  const unsigned long long bits = bit_cast<unsigned long long>(x);
  const unsigned long long mantissa = (bits & 0xfffffffffffffull) | 0x10000000000000ull;
  const int at = static_cast<int>(bits >> 52 & 0x7ff) - 1075 + 63, shift = at & 63;
  const unsigned long long* const from = kOverPiBits + (at >> 6);
  unsigned long long w[3];
  for (int i = 0; i < 3; ++i) w[2 - i] = shift ? from[i] << shift | from[i + 1] >> (64 - shift) : from[i];
  Turns t;
  t.word[0] = mantissa * w[0];
  const unsigned long long low = mantissa * w[1], carried = low + __umul64hi(mantissa, w[0]);
  t.word[1] = carried;
  t.word[2] = mantissa * w[2] + __umul64hi(mantissa, w[1]) + (carried < low);
  t.odd = t.word[2] >> 63;
  t.word[2] &= 0x7fffffffffffffffull;
  return t;
}
/// One half or more, in a fraction.
PLAIT_SIMD bool from_half(const Turns& t) { return t.word[2] >> 62 & 1; }
/// f - 1 or f - 1/2 for f at least that, or below.
PLAIT_SIMD void take_away(Turns& t, unsigned long long high) { t.word[2] -= high; }

/// pi times the fraction, which is signed now.
PLAIT_SIMD double radians(Turns t) {
  const bool negative = t.word[2] >> 63;
  if (negative) {
    t.word[0] = ~t.word[0] + 1;
    t.word[1] = ~t.word[1] + (t.word[0] == 0);
    t.word[2] = ~t.word[2] + (t.word[0] == 0 && t.word[1] == 0);
  }
  int zeros = 0;
  while (t.word[2] == 0 && zeros < 192) {
    t.word[2] = t.word[1], t.word[1] = t.word[0], t.word[0] = 0;
    zeros += 64;
  }
  const int more = __clzll(static_cast<long long>(t.word[2]));
  const unsigned long long top = more && more < 64 ? t.word[2] << more | t.word[1] >> (64 - more) : t.word[2];
  zeros += more;
  const Lane<double> scale = bit_cast<double>(static_cast<unsigned long long>(1023 - 63 - zeros) << 52);
  const Lane<double> high = static_cast<double>(top & ~0x7ffull), low = static_cast<double>(top & 0x7ffull);
  const auto p = two_product(high, Lane<double>(0x1.921fb54442d18p+1));
  const Lane<double> rest = p.low + (high * 0x1.1a62633145c07p-53 + low * 0x1.921fb54442d18p+1);
  const Lane<double> r = (p.high + rest) * scale;
  return negative ? -r.v : r.v;
}
PLAIT_SIMD double sin_of_remainder(double r) {
  const Lane<double> x = r;
  return fma(x, Kernel<double>::sin_tail(x * x), x).v;
}

PLAIT_SIMD double far_angle(Sin, double x) {
  Turns t = turns_of(x);
  bool odd = t.odd;
  if (from_half(t)) {
    take_away(t, 1ull << 63);
    odd = !odd;
  }
  const double y = sin_of_remainder(radians(t));
  return (odd != (x < 0)) ? -y : y;
}
/// cos(pi f) = -sin(pi (f - 1/2))
PLAIT_SIMD double far_angle(Cos, double x) {
  Turns t = turns_of(x);
  take_away(t, 1ull << 62);
  const double y = sin_of_remainder(radians(t));
  return t.odd ? y : -y;
}
PLAIT_SIMD double far_angle(Tan, double x) {
  Turns t = turns_of(x);
  const unsigned quarter = static_cast<unsigned>(t.word[2] >> 61);  // of a half turn
  const bool reciprocal = quarter == 1 || quarter == 2;
  if (reciprocal)
    take_away(t, 1ull << 62);
  else if (quarter == 3)
    take_away(t, 1ull << 63);
  const Lane<double> r = radians(t), z = r * r;
  const Lane<double> tangent = fma(r * z, Kernel<double>::tan_tail(z), r);
  const double y = reciprocal ? (-1 / tangent).v : tangent.v;
  return x < 0 ? -y : y;
}

template <class Function, class V>
PLAIT_RARE V far_angles(V x, V) {
  const double a = static_cast<double>(x.v);
  return static_cast<LaneOf<V>>(a - a == 0 ? far_angle(Function{}, a) : kNaN<Lane<double>>);
}

}  // namespace plait::cpu::device
