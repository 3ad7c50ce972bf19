// Elements on the device: what arithmetic on them is done in, and their order as unsigned integers.
#pragma once

#include <cuda_bf16.h>
#include <cuda_fp16.h>

#include <cstdint>
#include <type_traits>

#include "plait/dtype.h"
#include "plait/error.h"

namespace plait::cuda {

using u64 = unsigned long long;

struct Bool {
  uint8_t bits;
};
struct Half {
  uint16_t bits;
};
struct BHalf {
  uint16_t bits;
};
struct alignas(8) Complex {
  float re, im;
};

__device__ inline Complex operator+(Complex a, Complex b) { return {a.re + b.re, a.im + b.im}; }
__device__ inline Complex operator*(Complex a, Complex b) {
  return {a.re * b.re - a.im * b.im, a.re * b.im + a.im * b.re};
}

template <class T>
inline constexpr bool kIsHalf = std::is_same_v<T, Half> || std::is_same_v<T, BHalf>;

/// What arithmetic on an element is done in: float for the 16-bit floats.
template <class T>
using Wide = std::conditional_t<kIsHalf<T>, float, T>;

template <class T>
__device__ inline Wide<T> widened(T x) {
  if constexpr (std::is_same_v<T, Half>)
    return __half2float(__ushort_as_half(x.bits));
  else if constexpr (std::is_same_v<T, BHalf>)
    return __bfloat162float(__ushort_as_bfloat16(x.bits));
  else
    return x;
}
template <class T>
__device__ inline T narrowed(Wide<T> x) {
  if constexpr (std::is_same_v<T, Half>)
    return {__half_as_ushort(__float2half_rn(x))};
  else if constexpr (std::is_same_v<T, BHalf>)
    return {__bfloat16_as_ushort(__float2bfloat16_rn(x))};
  else
    return x;
}

/// Calls f.template operator()<T>() with a type whose sums and products have the bits of the dtype's: signed integers
/// come as unsigned ones.
template <class F>
decltype(auto) dispatch_arithmetic(DType d, F&& f) {
  switch (d) {
    case DType::bool_: return f.template operator()<Bool>();
    case DType::uint8:
    case DType::int8: return f.template operator()<uint8_t>();
    case DType::uint16:
    case DType::int16: return f.template operator()<uint16_t>();
    case DType::uint32:
    case DType::int32: return f.template operator()<uint32_t>();
    case DType::uint64:
    case DType::int64: return f.template operator()<u64>();
    case DType::float16: return f.template operator()<Half>();
    case DType::bfloat16: return f.template operator()<BHalf>();
    case DType::float32: return f.template operator()<float>();
    case DType::float64: return f.template operator()<double>();
    case DType::complex64: return f.template operator()<Complex>();
  }
  throw InternalError("dispatch_arithmetic: not a dtype");
}

template <class T>
__device__ inline T sum_of(T a, T b) {
  if constexpr (std::is_same_v<T, Bool>)
    return {static_cast<uint8_t>(a.bits | b.bits)};
  else
    return static_cast<T>(a + b);
}
template <class T>
__device__ inline T product_of(T a, T b) {
  if constexpr (std::is_same_v<T, Bool>)
    return {static_cast<uint8_t>(a.bits & b.bits)};
  else if constexpr (std::is_same_v<T, uint16_t>)
    return static_cast<T>(static_cast<uint32_t>(a) * b);  // not as int, which overflows
  else
    return static_cast<T>(a * b);
}

/// What a lane of the warp holds.
template <class T>
__device__ inline T from_lane(T x, int lane) {
  using Word = std::conditional_t<sizeof(T) == 8, u64, uint32_t>;
  Word word = 0;
  memcpy(&word, &x, sizeof(T));
  word = __shfl_sync(0xFFFFFFFF, word, lane);
  memcpy(&x, &word, sizeof(T));
  return x;
}

/// The order of backends/order.h as an order of unsigned integers: NaN is the largest key, -0 equals 0.
struct KeyKind {
  enum Kind : uint8_t { plain, with_sign, floating, complex };
  Kind kind = plain;
  u64 infinity = 0;  // bits of a float's

  static KeyKind of(DType d) {
    switch (d) {
      case DType::float16: return {floating, 0x7C00};
      case DType::bfloat16: return {floating, 0x7F80};
      case DType::float32: return {floating, 0x7F800000};
      case DType::float64: return {floating, 0x7FF0000000000000};
      case DType::complex64: return {complex, 0x7F800000};
      default: return {is_in(d, dtypes::signed_integer) ? with_sign : plain, 0};
    }
  }
  __device__ bool has_nan() const { return kind >= floating; }
};

template <class Bits>
inline constexpr Bits kSignOf = static_cast<Bits>(Bits{1} << (8 * sizeof(Bits) - 1));
template <class Bits>
inline constexpr Bits kNanKey = static_cast<Bits>(~Bits{0});

/// -0 has a key of its own here, before that of 0.
template <class Bits>
__device__ inline Bits float_key(Bits bits, Bits infinity) {
  if (static_cast<Bits>(bits & static_cast<Bits>(~kSignOf<Bits>)) > infinity) return kNanKey<Bits>;
  return static_cast<Bits>(bits & kSignOf<Bits> ? ~bits : bits | kSignOf<Bits>);
}
template <class Bits>
__device__ inline Bits equal_zeros(Bits key) {
  return key == static_cast<Bits>(~kSignOf<Bits>) ? kSignOf<Bits> : key;
}

template <class Bits>
__device__ inline Bits key_of(Bits bits, KeyKind kind) {
  switch (kind.kind) {
    case KeyKind::plain: return bits;
    case KeyKind::with_sign: return static_cast<Bits>(bits ^ kSignOf<Bits>);
    case KeyKind::floating: return equal_zeros(float_key(bits, static_cast<Bits>(kind.infinity)));
    default:
      if constexpr (sizeof(Bits) == 8) {  // the real part decides first; it lies in the lower half
        const auto infinity = static_cast<uint32_t>(kind.infinity);
        const uint32_t re = equal_zeros(float_key(static_cast<uint32_t>(bits), infinity));
        const uint32_t im = equal_zeros(float_key(static_cast<uint32_t>(bits >> 32), infinity));
        if (re == kNanKey<uint32_t> || im == kNanKey<uint32_t>) return kNanKey<Bits>;
        return static_cast<Bits>(re) << 32 | im;
      } else {
        return bits;
      }
  }
}

/// Keys whose largest is what a search for the smallest wants: the order turned round, NaN still the largest.
template <class Bits>
__device__ inline Bits turned_key(Bits key, bool nan_possible) {
  return nan_possible && key == kNanKey<Bits> ? key : static_cast<Bits>(~key);
}

}  // namespace plait::cuda
