// Vectors of one lane for device code: simd/vec.h includes this in place of the machine's own, so that the CPU's functions
// (simd/math.h, power.h) are the GPU's as well. Every operation names its rounding; nothing is contracted.
#pragma once

#define PLAIT_TARGET device
#define PLAIT_SIMD static __device__ __forceinline__
#define PLAIT_RARE static __device__ __noinline__

namespace plait::cpu::device {

constexpr bool kFusedMultiplyAdd = true;
constexpr int kVectorBytes = 8;

struct Mask {
  bool set;
  __device__ __forceinline__ friend Mask operator&(Mask a, Mask b) { return {a.set && b.set}; }
  __device__ __forceinline__ friend Mask operator|(Mask a, Mask b) { return {a.set || b.set}; }
  __device__ __forceinline__ friend Mask operator==(Mask a, Mask b) { return {a.set == b.set}; }
  __device__ __forceinline__ friend Mask operator!=(Mask a, Mask b) { return {a.set != b.set}; }
  __device__ __forceinline__ friend Mask operator~(Mask a) { return {!a.set}; }
};

template <class T>
struct Lane;

#define PLAIT_LANE_COMMON(T)                                                                 \
  using Element = T;                                                                         \
  T v;                                                                                       \
  Lane() = default;                                                                          \
  __device__ __forceinline__ constexpr Lane(T x) : v(x) {}                                   \
  __device__ __forceinline__ friend Mask operator==(Lane a, Lane b) { return {a.v == b.v}; } \
  __device__ __forceinline__ friend Mask operator!=(Lane a, Lane b) { return {a.v != b.v}; } \
  __device__ __forceinline__ friend Mask operator<(Lane a, Lane b) { return {a.v < b.v}; }   \
  __device__ __forceinline__ friend Mask operator<=(Lane a, Lane b) { return {a.v <= b.v}; } \
  __device__ __forceinline__ friend Mask operator>(Lane a, Lane b) { return {a.v > b.v}; }   \
  __device__ __forceinline__ friend Mask operator>=(Lane a, Lane b) { return {a.v >= b.v}; } \
  __device__ __forceinline__ Lane& operator+=(Lane b) { return *this = *this + b; }

#define PLAIT_LANE_FLOAT(T, add, sub, mul, div)                                                \
  template <>                                                                                  \
  struct Lane<T> {                                                                             \
    PLAIT_LANE_COMMON(T)                                                                       \
    __device__ __forceinline__ friend Lane operator+(Lane a, Lane b) { return add(a.v, b.v); } \
    __device__ __forceinline__ friend Lane operator-(Lane a, Lane b) { return sub(a.v, b.v); } \
    __device__ __forceinline__ friend Lane operator*(Lane a, Lane b) { return mul(a.v, b.v); } \
    __device__ __forceinline__ friend Lane operator/(Lane a, Lane b) { return div(a.v, b.v); } \
    __device__ __forceinline__ friend Lane operator-(Lane a) { return -a.v; }                  \
  };
PLAIT_LANE_FLOAT(float, __fadd_rn, __fsub_rn, __fmul_rn, __fdiv_rn)
PLAIT_LANE_FLOAT(double, __dadd_rn, __dsub_rn, __dmul_rn, __ddiv_rn)
#undef PLAIT_LANE_FLOAT

template <class T>
struct Lane {  // integers
  PLAIT_LANE_COMMON(T)
  __device__ __forceinline__ friend Lane operator+(Lane a, Lane b) { return a.v + b.v; }
  __device__ __forceinline__ friend Lane operator-(Lane a, Lane b) { return a.v - b.v; }
  __device__ __forceinline__ friend Lane operator&(Lane a, Lane b) { return a.v & b.v; }
  __device__ __forceinline__ friend Lane operator|(Lane a, Lane b) { return a.v | b.v; }
  __device__ __forceinline__ friend Lane operator^(Lane a, Lane b) { return a.v ^ b.v; }
  __device__ __forceinline__ friend Lane operator<<(Lane a, int bits) { return a.v << bits; }
  __device__ __forceinline__ friend Lane operator>>(Lane a, int bits) { return a.v >> bits; }
};
#undef PLAIT_LANE_COMMON

template <class T>
using Vec = Lane<T>;
template <class T, int N>
using VecN = Lane<T>;
template <class T>
constexpr int kLanes = 1;
template <class V>
constexpr int kLanesOf = 1;
template <class V>
struct ElementOf {
  using type = V;
};
template <class T>
struct ElementOf<Lane<T>> {
  using type = T;
};
template <class V>
using LaneOf = typename ElementOf<V>::type;
template <class V>
using MaskOf = Mask;
template <int kBytes>
struct IntOfBytes;
template <>
struct IntOfBytes<4> {
  using type = int;
  using unsigned_type = unsigned;
};
template <>
struct IntOfBytes<8> {
  using type = long long;
  using unsigned_type = unsigned long long;
};
template <class V>
using BitsOf = Lane<typename IntOfBytes<sizeof(V)>::type>;
template <class V>
using UnsignedBitsOf = Lane<typename IntOfBytes<sizeof(V)>::unsigned_type>;
template <class V>
using HalfOf = V;
template <class V>
using TwiceOf = V;

template <class To, class From>
static constexpr __device__ __forceinline__ To bit_cast(From v) {
  return __builtin_bit_cast(To, v);
}
template <class V>
PLAIT_SIMD V splat(LaneOf<V> x) {
  return V(x);
}
template <class T, class F>
PLAIT_SIMD Lane<T> convert(Lane<F> x) {
  return static_cast<T>(x.v);
}
// Both halves of a single lane are the lane.
template <class V>
PLAIT_SIMD V low_half(V v) {
  return v;
}
template <class V>
PLAIT_SIMD V high_half(V v) {
  return v;
}
template <class V>
PLAIT_SIMD V join(V low, V) {
  return low;
}

template <class V>
PLAIT_SIMD V select(Mask mask, V a, V b) {
  return mask.set ? a : b;
}
PLAIT_SIMD bool any(Mask mask) { return mask.set; }
PLAIT_SIMD bool all(Mask mask) { return mask.set; }

template <class V>
PLAIT_SIMD V fma(V a, V b, V c) {
  if constexpr (sizeof(V) == 4)
    return __fmaf_rn(a.v, b.v, c.v);
  else
    return __fma_rn(a.v, b.v, c.v);
}
template <class V>
PLAIT_SIMD V sqrt(V x) {
  if constexpr (sizeof(V) == 4)
    return __fsqrt_rn(x.v);
  else
    return __dsqrt_rn(x.v);
}
template <class V>
PLAIT_SIMD V min_or_second(V a, V b) {
  return a.v < b.v ? a : b;
}
template <class V>
PLAIT_SIMD V max_or_second(V a, V b) {
  return a.v > b.v ? a : b;
}

enum class Rounding { even, down, up, zero };
template <Rounding kMode, class V>
PLAIT_SIMD V round_to(V x) {
  if constexpr (sizeof(V) == 4)
    return kMode == Rounding::even   ? ::rintf(x.v)
           : kMode == Rounding::down ? ::floorf(x.v)
           : kMode == Rounding::up   ? ::ceilf(x.v)
                                     : ::truncf(x.v);
  else
    return kMode == Rounding::even   ? ::rint(x.v)
           : kMode == Rounding::down ? ::floor(x.v)
           : kMode == Rounding::up   ? ::ceil(x.v)
                                     : ::trunc(x.v);
}

}  // namespace plait::cpu::device
