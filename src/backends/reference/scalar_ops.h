// What each op of the kernel IR means, for one element. Plain C++; transcendental functions of float32 go through double, so
// that they are good to judge others by.
#pragma once

#include <bit>
#include <cmath>
#include <complex>
#include <concepts>
#include <cstdint>
#include <cstring>
#include <limits>
#include <type_traits>

#include "graph/ir.h"
#include "plait/error.h"

namespace plait::reference {

using Complex = std::complex<float>;
template <class T>
constexpr bool is_complex = std::is_same_v<T, Complex>;

template <class T>
T from_bits(uint64_t bits) {
  T value;
  std::memcpy(static_cast<void*>(&value), &bits, sizeof value);
  return value;
}
template <class T>
uint64_t to_bits(T value) {
  uint64_t bits = 0;
  std::memcpy(&bits, &value, sizeof value);
  return bits;
}

[[noreturn]] inline void unsupported(ir::Op op, ir::Type type) {
  throw InternalError("kernel IR: " + std::string(ir::name_of(op)) + " is not defined for " +
                      std::string(name_of(type)));
}

/// Float to integer: truncates, wraps as two's complement, NaN and what no 64-bit integer holds give 0.
template <std::integral To>
To wrapped(double x) {
  if (x >= 0x1p63) return x < 0x1p64 ? static_cast<To>(static_cast<uint64_t>(x)) : To{0};
  return x >= -0x1p63 ? static_cast<To>(static_cast<int64_t>(x)) : To{0};
}

template <class To, class From>
To convert(From x) {
  if constexpr (is_complex<To>) {
    if constexpr (is_complex<From>)
      return x;
    else
      return {static_cast<float>(x), 0.0f};
  } else if constexpr (std::is_same_v<To, bool>) {
    return x != From{};
  } else if constexpr (is_complex<From>) {
    return convert<To>(x.real());
  } else if constexpr (std::floating_point<From> && std::integral<To>) {
    return wrapped<To>(x);
  } else {
    return static_cast<To>(x);
  }
}

template <std::floating_point T>
T erfinv(T y) {
  if (!(y > -1 && y < 1)) return y == 1 ? T(HUGE_VAL) : y == -1 ? T(-HUGE_VAL) : T(NAN);
  // Winitzki's estimate, then Newton's steps in double.
  const double a = 0.147, l = std::log1p(-double{y} * y), t = 2 / (M_PI * a) + l / 2;
  double x = std::copysign(std::sqrt(std::sqrt(t * t - l / a) - t), double{y});
  for (int i = 0; i < 4; ++i) {
    const double miss = std::fabs(y) > 0.5 ? (y > 0 ? (1 - double{y}) - std::erfc(x) : std::erfc(-x) - (1 + double{y}))
                                           : std::erf(x) - y;
    x -= miss * std::sqrt(M_PI) / 2 * std::exp(x * x);
  }
  return static_cast<T>(x);
}

template <std::floating_point T>
T unary_float(ir::Op op, T narrow) {
  using ir::Op;
  const double x = narrow;
  switch (op) {
    case Op::sqrt: return std::sqrt(narrow);
    case Op::rsqrt: return static_cast<T>(1 / std::sqrt(x));
    case Op::exp: return static_cast<T>(std::exp(x));
    case Op::exp2: return static_cast<T>(std::exp2(x));
    case Op::expm1: return static_cast<T>(std::expm1(x));
    case Op::log: return static_cast<T>(std::log(x));
    case Op::log2: return static_cast<T>(std::log2(x));
    case Op::log10: return static_cast<T>(std::log10(x));
    case Op::log1p: return static_cast<T>(std::log1p(x));
    case Op::sin: return static_cast<T>(std::sin(x));
    case Op::cos: return static_cast<T>(std::cos(x));
    case Op::tan: return static_cast<T>(std::tan(x));
    case Op::asin: return static_cast<T>(std::asin(x));
    case Op::acos: return static_cast<T>(std::acos(x));
    case Op::atan: return static_cast<T>(std::atan(x));
    case Op::sinh: return static_cast<T>(std::sinh(x));
    case Op::cosh: return static_cast<T>(std::cosh(x));
    case Op::tanh: return static_cast<T>(std::tanh(x));
    case Op::asinh: return static_cast<T>(std::asinh(x));
    case Op::acosh: return static_cast<T>(std::acosh(x));
    case Op::atanh: return static_cast<T>(std::atanh(x));
    case Op::erf: return static_cast<T>(std::erf(x));
    case Op::erfinv: return erfinv(narrow);
    case Op::floor: return std::floor(narrow);
    case Op::ceil: return std::ceil(narrow);
    case Op::trunc: return std::trunc(narrow);
    case Op::rint: return std::nearbyint(narrow);
    case Op::neg: return -narrow;
    case Op::abs: return std::fabs(narrow);
    case Op::sign: return narrow > 0 ? T(1) : narrow < 0 ? T(-1) : narrow == 0 ? T(0) : narrow;
    default: unsupported(op, dtype_of<T>);
  }
}

/// exp(z) - 1 and log(1 + z), in double and written so that nothing cancels near 0.
inline Complex expm1_complex(Complex z) {
  const double x = z.real(), y = z.imag();
  if (!std::isfinite(x) || !std::isfinite(y)) return static_cast<Complex>(std::exp(std::complex<double>(z)) - 1.0);
  const double half = std::sin(y / 2);
  return static_cast<Complex>(
      std::complex<double>(std::expm1(x) * std::cos(y) - 2 * half * half, std::exp(x) * std::sin(y)));
}
inline Complex log1p_complex(Complex z) {
  const double x = z.real(), y = z.imag();
  if (!(std::fabs(x) < 0.5 && std::fabs(y) < 0.5)) return static_cast<Complex>(std::log(1.0 + std::complex<double>(z)));
  return static_cast<Complex>(std::complex<double>(std::log1p(x * (x + 2) + y * y) / 2, std::atan2(y, 1 + x)));
}

inline Complex unary_complex(ir::Op op, Complex x) {
  using ir::Op;
  switch (op) {
    case Op::neg: return -x;
    case Op::conj: return std::conj(x);
    case Op::sign: return x == Complex{} ? x : x / std::abs(x);
    case Op::sqrt: return std::sqrt(x);
    case Op::rsqrt: return Complex(1) / std::sqrt(x);
    case Op::exp: return std::exp(x);
    case Op::exp2: return std::exp(x * static_cast<float>(M_LN2));
    case Op::expm1: return expm1_complex(x);
    case Op::log: return std::log(x);
    case Op::log2: return std::log(x) * static_cast<float>(M_LOG2E);
    case Op::log10: return std::log(x) * static_cast<float>(M_LOG10E);
    case Op::log1p: return log1p_complex(x);
    case Op::sin: return std::sin(x);
    case Op::cos: return std::cos(x);
    case Op::tan: return std::tan(x);
    case Op::asin: return std::asin(x);
    case Op::acos: return std::acos(x);
    case Op::atan: return std::atan(x);
    case Op::sinh: return std::sinh(x);
    case Op::cosh: return std::cosh(x);
    case Op::tanh: return std::tanh(x);
    case Op::asinh: return std::asinh(x);
    case Op::acosh: return std::acosh(x);
    case Op::atanh: return std::atanh(x);
    case Op::floor: return {std::floor(x.real()), std::floor(x.imag())};
    case Op::ceil: return {std::ceil(x.real()), std::ceil(x.imag())};
    case Op::trunc: return {std::trunc(x.real()), std::trunc(x.imag())};
    case Op::rint: return {std::nearbyint(x.real()), std::nearbyint(x.imag())};
    default: unsupported(op, DType::complex64);
  }
}

/// bool and integers.
template <std::integral T>
T unary_integer(ir::Op op, T x) {
  using ir::Op;
  switch (op) {
    case Op::neg: return static_cast<T>(std::is_same_v<T, bool> ? x : 0 - static_cast<uint64_t>(x));
    case Op::abs: return x < T{} ? static_cast<T>(0 - static_cast<uint64_t>(x)) : x;
    case Op::sign: return x > T{} ? T(1) : x < T{} ? static_cast<T>(-1) : T(0);
    case Op::floor:
    case Op::ceil:
    case Op::trunc:
    case Op::rint: return x;
    case Op::bit_not:
      if constexpr (std::is_same_v<T, bool>)
        return !x;
      else
        return static_cast<T>(~x);
    default: unsupported(op, dtype_of<T>);
  }
}

/// Ops whose result has the type of the operand.
template <class T>
T unary(ir::Op op, T x) {
  if constexpr (is_complex<T>)
    return unary_complex(op, x);
  else if constexpr (std::floating_point<T>)
    return unary_float(op, x);
  else
    return unary_integer(op, x);
}

template <class T>
bool is_nan(T x) {
  if constexpr (is_complex<T>)
    return std::isnan(x.real()) || std::isnan(x.imag());
  else if constexpr (std::floating_point<T>)
    return std::isnan(x);
  else
    return false;
}

template <class T>
bool test(ir::Op op, T x) {
  const auto inf = [](auto v) {
    if constexpr (std::floating_point<decltype(v)>)
      return std::isinf(v);
    else
      return false;
  };
  bool infinite;
  if constexpr (is_complex<T>)
    infinite = inf(x.real()) || inf(x.imag());
  else
    infinite = inf(x);
  if (op == ir::Op::is_nan) return is_nan(x);
  if (op == ir::Op::is_inf) return infinite;
  return !is_nan(x) && !infinite;
}

/// Complex numbers by real part, then imaginary part, as NumPy sorts them.
template <class T>
bool less(T a, T b) {
  if constexpr (is_complex<T>)
    return a.real() < b.real() || (a.real() == b.real() && a.imag() < b.imag());
  else
    return a < b;
}

template <class T>
bool compare(ir::Op op, T a, T b) {
  using ir::Op;
  switch (op) {
    case Op::eq: return a == b;
    case Op::ne: return a != b;
    case Op::lt: return less(a, b);
    case Op::gt: return less(b, a);
    case Op::le: return less(a, b) || a == b;
    default: return less(b, a) || a == b;
  }
}

template <std::integral T>
T power(T base, T exponent) {
  if constexpr (std::is_same_v<T, bool>) {
    return base || !exponent;
  } else {
    if (exponent < T{}) return base == T(1) ? T(1) : base == static_cast<T>(-1) ? (exponent & 1 ? base : T(1)) : T(0);
    uint64_t result = 1, square = static_cast<uint64_t>(base), left = static_cast<uint64_t>(exponent);
    for (; left; left >>= 1, square *= square)
      if (left & 1) result *= square;
    return static_cast<T>(result);
  }
}

template <std::integral T>
T binary_integer(ir::Op op, T a, T b) {
  using ir::Op;
  const uint64_t ua = static_cast<uint64_t>(a), ub = static_cast<uint64_t>(b);
  [[maybe_unused]] constexpr unsigned width = 8 * sizeof(T);
  switch (op) {
    case Op::add: return static_cast<T>(ua + ub);
    case Op::sub: return static_cast<T>(ua - ub);
    case Op::mul: return static_cast<T>(ua * ub);
    case Op::max: return a < b ? b : a;
    case Op::min: return b < a ? b : a;
    case Op::bit_and: return static_cast<T>(a & b);
    case Op::bit_or: return static_cast<T>(a | b);
    case Op::bit_xor: return static_cast<T>(a ^ b);
    case Op::pow: return power(a, b);
    default: break;
  }
  if constexpr (!std::is_same_v<T, bool>) {
    switch (op) {
      case Op::floor_div:
        if (b == 0) return 0;
        if constexpr (std::is_signed_v<T>) {
          if (b == -1) return static_cast<T>(0 - ua);
          return static_cast<T>(a / b - ((a % b != 0) && ((a < 0) != (b < 0))));
        }
        return static_cast<T>(a / b);
      case Op::rem:
        if (b == 0) return 0;
        if constexpr (std::is_signed_v<T>) {
          if (b == -1) return 0;
          const T r = static_cast<T>(a % b);
          return r != 0 && ((r < 0) != (b < 0)) ? static_cast<T>(r + b) : r;
        }
        return static_cast<T>(a % b);
      case Op::shl: return ub < width ? static_cast<T>(ua << ub) : T(0);
      case Op::shr:
        if (ub < width) return static_cast<T>(a >> ub);
        return a < T{} ? static_cast<T>(-1) : T(0);
      default: break;
    }
  }
  unsupported(op, dtype_of<T>);
}

template <std::floating_point T>
T binary_float(ir::Op op, T a, T b) {
  using ir::Op;
  switch (op) {
    case Op::add: return a + b;
    case Op::sub: return a - b;
    case Op::mul: return a * b;
    case Op::div: return a / b;
    case Op::floor_div: return std::floor(a / b);
    case Op::rem: {
      const T r = std::fmod(a, b);
      return r != 0 && ((r < 0) != (b < 0)) ? r + b : r;
    }
    case Op::pow: return static_cast<T>(std::pow(double{a}, double{b}));
    case Op::atan2: return static_cast<T>(std::atan2(double{a}, double{b}));
    case Op::max: return std::isnan(a) || a > b ? a : b;
    case Op::min: return std::isnan(a) || a < b ? a : b;
    default: unsupported(op, dtype_of<T>);
  }
}

inline Complex binary_complex(ir::Op op, Complex a, Complex b) {
  using ir::Op;
  switch (op) {
    case Op::add: return a + b;
    case Op::sub: return a - b;
    case Op::mul: return a * b;
    case Op::div: return a / b;
    case Op::pow:
      if (a == Complex{}) return b == Complex{} ? Complex(1) : Complex{};
      return static_cast<Complex>(std::pow(std::complex<double>(a), std::complex<double>(b)));
    case Op::max: return is_nan(a) || less(b, a) ? a : b;
    case Op::min: return is_nan(a) || less(a, b) ? a : b;
    default: unsupported(op, DType::complex64);
  }
}

/// Ops whose result has the type of both operands.
template <class T>
T binary(ir::Op op, T a, T b) {
  if constexpr (is_complex<T>)
    return binary_complex(op, a, b);
  else if constexpr (std::floating_point<T>)
    return binary_float(op, a, b);
  else
    return binary_integer(op, a, b);
}

template <class T>
T fma(T a, T b, T c) {
  if constexpr (std::floating_point<T>)
    return std::fma(a, b, c);
  else
    return binary(ir::Op::add, binary(ir::Op::mul, a, b), c);
}

/// What an empty row reduces to.
template <class T>
T identity(ir::Op reduction) {
  using ir::Op;
  if (reduction == Op::reduce_sum) return T{};
  if (reduction == Op::reduce_prod) return T(1);
  const bool lowest = reduction == Op::reduce_max;
  if constexpr (is_complex<T>) {
    const float inf = lowest ? -HUGE_VALF : HUGE_VALF;
    return {inf, inf};
  } else if constexpr (std::floating_point<T>) {
    return lowest ? T(-HUGE_VAL) : T(HUGE_VAL);
  } else {
    return lowest ? std::numeric_limits<T>::lowest() : std::numeric_limits<T>::max();
  }
}

/// The op that joins two partial results of a reduction.
inline ir::Op combiner(ir::Op reduction) {
  using ir::Op;
  switch (reduction) {
    case Op::reduce_sum: return Op::add;
    case Op::reduce_prod: return Op::mul;
    case Op::reduce_max: return Op::max;
    default: return Op::min;
  }
}

}  // namespace plait::reference
