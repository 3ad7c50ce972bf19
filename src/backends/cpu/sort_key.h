#pragma once

#include <bit>
#include <cstdint>
#include <type_traits>

#include "plait/dtype.h"

/// Elements as unsigned integers in the same order: what sorting by digits needs. NaN is the largest key.
namespace plait::cpu {

template <class T>
struct SortKey;

template <class T>
  requires std::is_integral_v<T>
struct SortKey<T> {
  using Key = std::make_unsigned_t<std::conditional_t<std::is_same_v<T, bool>, uint8_t, T>>;
  static constexpr Key kSign = std::is_signed_v<T> ? static_cast<Key>(Key{1} << (8 * sizeof(Key) - 1)) : Key{0};
  static Key of(T x) { return static_cast<Key>(static_cast<Key>(x) ^ kSign); }
  static T back(Key k) { return static_cast<T>(static_cast<Key>(k ^ kSign)); }
  static Key equal_as_number(Key k) { return k; }
};

/// Floats: the bits with the sign flipped, and for negative numbers all others too.
template <class T, class Bits, Bits kInfinity>
struct FloatSortKey {
  using Key = Bits;
  static constexpr Bits kSign = static_cast<Bits>(Bits{1} << (8 * sizeof(Bits) - 1));
  static Key of(T x) {
    const Bits bits = std::bit_cast<Bits>(x);
    if (static_cast<Bits>(bits & ~kSign) > kInfinity) return static_cast<Key>(~Bits{0});
    return static_cast<Key>(bits & kSign ? ~bits : bits | kSign);
  }
  static T back(Key k) { return std::bit_cast<T>(static_cast<Bits>(k & kSign ? k ^ kSign : ~k)); }
  /// -0 gets the key of 0.
  static Key equal_as_number(Key k) { return k == static_cast<Key>(~kSign) ? kSign : k; }
};
template <>
struct SortKey<float> : FloatSortKey<float, uint32_t, 0x7F800000> {};
template <>
struct SortKey<double> : FloatSortKey<double, uint64_t, 0x7FF0000000000000> {};
template <>
struct SortKey<float16_t> : FloatSortKey<float16_t, uint16_t, 0x7C00> {};
template <>
struct SortKey<bfloat16_t> : FloatSortKey<bfloat16_t, uint16_t, 0x7F80> {};

}  // namespace plait::cpu
