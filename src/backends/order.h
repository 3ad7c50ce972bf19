#pragma once

#include <complex>
#include <type_traits>

#include "plait/dtype.h"

/// The order of elements that searching, sorting and running extremes share: numbers as usual, complex ones by real
/// part first, NaN behind everything.
namespace plait {

template <class T>
inline constexpr bool kIsHalf = std::is_same_v<T, float16_t> || std::is_same_v<T, bfloat16_t>;

/// What arithmetic on an element is done in: float for the 16-bit types.
template <class T>
using Wide = std::conditional_t<kIsHalf<T>, float, T>;

template <class T>
Wide<T> widened(T x) {
  return static_cast<Wide<T>>(x);
}
template <class T>
T narrowed(Wide<T> x) {
  if constexpr (kIsHalf<T>) {
    return T::from(x);
  } else {
    return x;
  }
}

template <class T>
bool is_nan(T x) {
  if constexpr (kIsHalf<T>) {
    const float f = static_cast<float>(x);
    return f != f;
  } else if constexpr (std::is_integral_v<T>) {
    return false;
  } else {
    return x != x;
  }
}

/// a < b for two elements of which neither is NaN.
template <class T>
bool number_less(T a, T b) {
  if constexpr (kIsHalf<T>) {
    return static_cast<float>(a) < static_cast<float>(b);
  } else if constexpr (std::is_same_v<T, std::complex<float>>) {
    return a.real() < b.real() || (a.real() == b.real() && a.imag() < b.imag());
  } else {
    return a < b;
  }
}

/// A strict weak order in which every NaN is equivalent and last.
template <class T>
bool in_order(T a, T b) {
  if (is_nan(a)) return false;
  return is_nan(b) || number_less(a, b);
}

}  // namespace plait
