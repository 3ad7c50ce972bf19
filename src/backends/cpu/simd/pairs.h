// Unevaluated sums of two vectors, for the few places where one rounding is too many (Dekker, 1971; Knuth; Shewchuk, 1997).
#pragma once

#include "backends/cpu/simd/vec.h"

namespace plait::cpu::PLAIT_TARGET {

template <class V>
struct Pair {  // high + low, |low| at most half an ulp of high unless said otherwise
  V high, low;
};

/// a + b exactly, for |a| >= |b|.
template <class V>
PLAIT_SIMD Pair<V> fast_two_sum(V a, V b) {
  const V s = a + b;
  return {s, b - (s - a)};
}
/// a + b exactly.
template <class V>
PLAIT_SIMD Pair<V> two_sum(V a, V b) {
  const V s = a + b, b_in_s = s - a;
  return {s, (a - (s - b_in_s)) + (b - b_in_s)};
}
/// a * b exactly, short of overflow and underflow.
template <class V>
PLAIT_SIMD Pair<V> two_product(V a, V b) {
  const V p = a * b;
  if constexpr (kFusedMultiplyAdd) {
    return {p, fma(a, b, -p)};
  } else {
    constexpr LaneOf<V> kSplit = sizeof(LaneOf<V>) == 4 ? 4097.0 : 134217729.0;  // 2^12 + 1, 2^27 + 1
    const V a_scaled = a * kSplit, a_high = a_scaled - (a_scaled - a), a_low = a - a_high;
    const V b_scaled = b * kSplit, b_high = b_scaled - (b_scaled - b), b_low = b - b_high;
    return {p, ((a_high * b_high - p) + a_high * b_low + a_low * b_high) + a_low * b_low};
  }
}
template <class V>
PLAIT_SIMD Pair<V> multiply(Pair<V> a, Pair<V> b) {
  const auto p = two_product(a.high, b.high);
  return fast_two_sum(p.high, p.low + fma(a.high, b.low, a.low * b.high));
}
/// For |a| >= |b|.
template <class V>
PLAIT_SIMD Pair<V> add(Pair<V> a, Pair<V> b) {
  const auto s = fast_two_sum(a.high, b.high);
  return fast_two_sum(s.high, s.low + (a.low + b.low));
}

}  // namespace plait::cpu::PLAIT_TARGET
