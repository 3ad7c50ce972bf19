// Types of values and of memory, and the one way from bits and 16-bit floats to values and back.
#pragma once

#define PLAIT_D __device__ __forceinline__

namespace plait::cuda {

using u8 = unsigned char;
using u16 = unsigned short;
using u32 = unsigned;
using u64 = unsigned long long;
using i8 = signed char;
using i16 = short;
using i32 = int;
using i64 = long long;

struct alignas(8) Complex {
  float re, im;
};
/// 16-bit floats as they lie in memory.
struct Half {
  u16 bits;
};
struct Brain {
  u16 bits;
};

template <class A, class B>
inline constexpr bool same = false;
template <class A>
inline constexpr bool same<A, A> = true;
template <class T>
inline constexpr bool is_real = same<T, float> || same<T, double>;
template <class T>
inline constexpr bool is_complex = same<T, Complex>;
template <class T>
inline constexpr bool is_integer = !is_real<T> && !is_complex<T>;  // bool too
template <class T>
inline constexpr bool is_signed_integer = same<T, i8> || same<T, i16> || same<T, i32> || same<T, i64>;

PLAIT_D float from_half(u16 h) {
  float x;
  asm("cvt.f32.f16 %0, %1;" : "=f"(x) : "h"(h));
  return x;
}
PLAIT_D u16 to_half(float x) {
  u16 h;
  asm("cvt.rn.f16.f32 %0, %1;" : "=h"(h) : "f"(x));
  return h;
}
PLAIT_D u16 to_brain(float x) {
  u16 h;
  asm("cvt.rn.bf16.f32 %0, %1;" : "=h"(h) : "f"(x));
  return h;
}
PLAIT_D float from_brain(u16 h) { return __uint_as_float(static_cast<u32>(h) << 16); }

// Two 16-bit floats in a register. Sums, differences and products of such numbers in float32, rounded to 16 bits, are what one
// rounding of the exact result gives, since 24 bits are at least twice their precision and two more (S. Figueroa, 1995); so the
// hardware's 16-bit arithmetic has the same bits as the ops of the program.
/// Rounds.
template <class Memory>
PLAIT_D u32 pair_of(float low, float high) {
  u32 pair;
  if constexpr (same<Memory, Half>)
    asm("cvt.rn.f16x2.f32 %0, %1, %2;" : "=r"(pair) : "f"(high), "f"(low));
  else
    asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(pair) : "f"(high), "f"(low));
  return pair;
}
PLAIT_D u32 fma_brains(u32 a, u32 b, u32 c) {
  u32 pair;
  asm("fma.rn.bf16x2 %0, %1, %2, %3;" : "=r"(pair) : "r"(a), "r"(b), "r"(c));
  return pair;
}
template <class Memory>
PLAIT_D u32 op_add_pair(u32 a, u32 b) {
  if constexpr (same<Memory, Brain>) return fma_brains(a, 0x3f803f80u, b);  // a * 1 + b
  u32 pair;
  asm("add.rn.f16x2 %0, %1, %2;" : "=r"(pair) : "r"(a), "r"(b));
  return pair;
}
template <class Memory>
PLAIT_D u32 op_sub_pair(u32 a, u32 b) {
  if constexpr (same<Memory, Brain>) return fma_brains(b, 0xbf80bf80u, a);  // b * -1 + a
  u32 pair;
  asm("sub.rn.f16x2 %0, %1, %2;" : "=r"(pair) : "r"(a), "r"(b));
  return pair;
}
template <class Memory>
PLAIT_D u32 op_mul_pair(u32 a, u32 b) {
  if constexpr (same<Memory, Brain>) return fma_brains(a, b, 0x80008000u);  // a * b - 0
  u32 pair;
  asm("mul.rn.f16x2 %0, %1, %2;" : "=r"(pair) : "r"(a), "r"(b));
  return pair;
}
/// NaN where either is.
template <class Memory>
PLAIT_D u32 op_max_pair(u32 a, u32 b) {
  u32 pair;
  if constexpr (same<Memory, Brain>)
    asm("max.NaN.bf16x2 %0, %1, %2;" : "=r"(pair) : "r"(a), "r"(b));
  else
    asm("max.NaN.f16x2 %0, %1, %2;" : "=r"(pair) : "r"(a), "r"(b));
  return pair;
}
template <class Memory>
PLAIT_D u32 op_min_pair(u32 a, u32 b) {
  u32 pair;
  if constexpr (same<Memory, Brain>)
    asm("min.NaN.bf16x2 %0, %1, %2;" : "=r"(pair) : "r"(a), "r"(b));
  else
    asm("min.NaN.f16x2 %0, %1, %2;" : "=r"(pair) : "r"(a), "r"(b));
  return pair;
}
template <class Memory>
PLAIT_D u32 pair_of(Memory low, Memory high) {
  return static_cast<u32>(high.bits) << 16 | low.bits;
}
template <class Memory>
PLAIT_D float low_of(u32 pair) {
  if constexpr (same<Memory, Half>)
    return from_half(static_cast<u16>(pair));
  else
    return __uint_as_float(pair << 16);
}
template <class Memory>
PLAIT_D float high_of(u32 pair) {
  if constexpr (same<Memory, Half>)
    return from_half(static_cast<u16>(pair >> 16));
  else
    return __uint_as_float(pair & 0xffff0000u);
}
template <class Memory>
PLAIT_D void take_apart(u32 pair, Memory& low, Memory& high) {
  low.bits = static_cast<u16>(pair);
  high.bits = static_cast<u16>(pair >> 16);
}

/// An element of memory as a value.
template <class T>
PLAIT_D T widened(T x) {
  return x;
}
PLAIT_D float widened(Half x) { return from_half(x.bits); }
PLAIT_D float widened(Brain x) { return from_brain(x.bits); }
/// A value as an element of memory; 16-bit floats hold what was rounded for them, or round here.
template <class Memory, class T>
PLAIT_D Memory narrowed(T x) {
  if constexpr (same<Memory, Half>)
    return {to_half(x)};
  else if constexpr (same<Memory, Brain>)
    return {to_brain(x)};
  else
    return x;
}

/// The bits of a value or element, lowest first, and back.
template <class T>
PLAIT_D u64 to_bits(T x) {
  if constexpr (is_complex<T>)
    return static_cast<u64>(__float_as_uint(x.im)) << 32 | __float_as_uint(x.re);
  else if constexpr (same<T, float>)
    return __float_as_uint(x);
  else if constexpr (same<T, double>)
    return static_cast<u64>(__double_as_longlong(x));
  else if constexpr (sizeof(T) == 1)
    return static_cast<u8>(x);
  else if constexpr (sizeof(T) == 2)
    return static_cast<u16>(x);
  else if constexpr (sizeof(T) == 4)
    return static_cast<u32>(x);
  else
    return static_cast<u64>(x);
}
template <class T>
PLAIT_D T from_bits(u64 bits) {
  if constexpr (is_complex<T>)
    return {__uint_as_float(static_cast<u32>(bits)), __uint_as_float(static_cast<u32>(bits >> 32))};
  else if constexpr (same<T, float>)
    return __uint_as_float(static_cast<u32>(bits));
  else if constexpr (same<T, double>)
    return __longlong_as_double(static_cast<i64>(bits));
  else if constexpr (same<T, Half> || same<T, Brain>)
    return {static_cast<u16>(bits)};
  else if constexpr (same<T, bool>)
    return (bits & 0xff) != 0;
  else
    return static_cast<T>(bits);
}

}  // namespace plait::cuda
