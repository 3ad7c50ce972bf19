// What each op of the kernel IR means on the device, for every type that has it; both tiers call these. Names are those of
// graph/ir.h behind `op_`.
#pragma once

#include "backends/cuda/regions/device/complex.cuh"
#include "backends/cuda/regions/device/types.cuh"

#pragma nv_diag_suppress 186  // comparing an unsigned with zero: one text serves all types

namespace plait::cuda {

// --- conversions -------------------------------------------------------------------------------------------------------

/// Truncates and wraps as two's complement; NaN and what no 64-bit integer holds give 0.
template <class To, class From>
PLAIT_D To wrapped(From x) {
  if constexpr (sizeof(To) <= 4) {
    const i32 near = static_cast<i32>(x);  // saturates
    if (near != 0x7fffffff && near != static_cast<i32>(0x80000000)) return static_cast<To>(x == x ? near : 0);
  }
  if (x >= static_cast<From>(0x1p63))
    return x < static_cast<From>(0x1p64) ? static_cast<To>(static_cast<u64>(x)) : To(0);
  return x >= static_cast<From>(-0x1p63) ? static_cast<To>(static_cast<i64>(x)) : To(0);
}
template <class To, class From>
PLAIT_D To op_convert(From x) {
  if constexpr (same<To, From>)
    return x;
  else if constexpr (same<To, bool> && is_complex<From>)
    return x.re != 0 || x.im != 0;
  else if constexpr (same<To, bool>)
    return x != From(0);
  else if constexpr (is_complex<To>)
    return {static_cast<float>(x), 0.0f};
  else if constexpr (is_complex<From>)
    return op_convert<To>(x.re);
  else if constexpr (is_real<From> && is_integer<To>)
    return wrapped<To>(x);
  else
    return static_cast<To>(x);
}
template <class To, class From>
PLAIT_D To op_bitcast(From x) {
  return from_bits<To>(to_bits(x));
}
PLAIT_D float op_round_f16(float x) { return from_half(to_half(x)); }
PLAIT_D float op_round_bf16(float x) { return from_brain(to_brain(x)); }

// --- tests and comparisons -----------------------------------------------------------------------------------------------

template <class T>
PLAIT_D bool op_is_nan(T x) {
  if constexpr (is_complex<T>)
    return x.re != x.re || x.im != x.im;
  else
    return x != x;
}
template <class T>
PLAIT_D bool op_is_inf(T x) {
  if constexpr (is_complex<T>)
    return op_is_inf(x.re) || op_is_inf(x.im);
  else if constexpr (is_real<T>)
    return x == x && x - x != 0;
  else
    return false;
}
template <class T>
PLAIT_D bool op_is_finite(T x) {
  return !op_is_nan(x) && !op_is_inf(x);
}
template <class T>
PLAIT_D bool op_eq(T a, T b) {
  if constexpr (is_complex<T>)
    return a.re == b.re && a.im == b.im;
  else
    return a == b;
}
template <class T>
PLAIT_D bool op_ne(T a, T b) {
  return !op_eq(a, b);
}
/// Complex numbers by real part, then imaginary part.
template <class T>
PLAIT_D bool op_lt(T a, T b) {
  if constexpr (is_complex<T>)
    return a.re < b.re || (a.re == b.re && a.im < b.im);
  else
    return a < b;
}
template <class T>
PLAIT_D bool op_gt(T a, T b) {
  return op_lt(b, a);
}
template <class T>
PLAIT_D bool op_le(T a, T b) {
  return op_lt(a, b) || op_eq(a, b);
}
template <class T>
PLAIT_D bool op_ge(T a, T b) {
  return op_lt(b, a) || op_eq(a, b);
}
template <class T>
PLAIT_D T op_select(bool condition, T x, T y) {
  return condition ? x : y;
}

// --- arithmetic ----------------------------------------------------------------------------------------------------------

template <class T>
PLAIT_D T op_add(T a, T b) {
  if constexpr (is_complex<T>)
    return {__fadd_rn(a.re, b.re), __fadd_rn(a.im, b.im)};
  else if constexpr (same<T, float>)
    return __fadd_rn(a, b);
  else if constexpr (same<T, double>)
    return __dadd_rn(a, b);
  else
    return static_cast<T>(static_cast<u64>(a) + static_cast<u64>(b));
}
template <class T>
PLAIT_D T op_sub(T a, T b) {
  if constexpr (is_complex<T>)
    return {__fsub_rn(a.re, b.re), __fsub_rn(a.im, b.im)};
  else if constexpr (same<T, float>)
    return __fsub_rn(a, b);
  else if constexpr (same<T, double>)
    return __dsub_rn(a, b);
  else
    return static_cast<T>(static_cast<u64>(a) - static_cast<u64>(b));
}
template <class T>
PLAIT_D T op_mul(T a, T b) {
  if constexpr (is_complex<T>)
    return {__fsub_rn(__fmul_rn(a.re, b.re), __fmul_rn(a.im, b.im)),
            __fadd_rn(__fmul_rn(a.re, b.im), __fmul_rn(a.im, b.re))};
  else if constexpr (same<T, float>)
    return __fmul_rn(a, b);
  else if constexpr (same<T, double>)
    return __dmul_rn(a, b);
  else
    return static_cast<T>(static_cast<u64>(a) * static_cast<u64>(b));
}
template <class T>
  requires(!is_integer<T>)
PLAIT_D T op_div(T a, T b) {
  if constexpr (is_complex<T>)
    return narrow(divided(wide(a), wide(b)));
  else if constexpr (same<T, float>)
    return __fdiv_rn(a, b);
  else
    return __ddiv_rn(a, b);
}
/// Something that many numbers are divided by: a quotient is a product with the reciprocal, put right by what the product with the
/// divisor lacks (P. Markstein, 1990), as long as no part of it is near the ends of the range. The bits are op_div's.
struct Divisor {
  float by, reciprocal;  // NaN where the divisor is near the ends
};
PLAIT_D Divisor divisor(float by) {
  const float size = fabsf(by);
  return {by, size > 0x1p-40f && size < 0x1p40f ? __frcp_rn(by) : __uint_as_float(0x7fc00000u)};
}
PLAIT_D float op_div(float a, Divisor d) {
  const float near = __fmul_rn(a, d.reciprocal), q = __fmaf_rn(__fmaf_rn(-near, d.by, a), d.reciprocal, near);
  return fabsf(q) > 0x1p-60f ? q : __fdiv_rn(a, d.by);
}
/// Rounded to 16 bits. Quotients of bfloat16 numbers are never so close to halfway between two of them that the product's error counts.
template <class Memory>
PLAIT_D u32 op_div_pair(float low, float high, Divisor d) {
  if constexpr (same<Memory, Brain>) {
    float p = __fmul_rn(low, d.reciprocal), q = __fmul_rn(high, d.reciprocal);
    if (!(fabsf(p) > 0x1p-60f && fabsf(q) > 0x1p-60f)) p = __fdiv_rn(low, d.by), q = __fdiv_rn(high, d.by);
    return pair_of<Memory>(p, q);
  } else {
    return pair_of<Memory>(op_div(low, d), op_div(high, d));
  }
}
template <class T>
PLAIT_D T op_fma(T a, T b, T c) {
  if constexpr (same<T, float>)
    return __fmaf_rn(a, b, c);
  else if constexpr (same<T, double>)
    return __fma_rn(a, b, c);
  else
    return op_add(op_mul(a, b), c);
}
template <class T>
PLAIT_D T op_max(T a, T b) {
  if constexpr (is_integer<T>) {
    return a < b ? b : a;
  } else if constexpr (same<T, float>) {  // also of zeros the larger one
    float x;
    asm("max.NaN.f32 %0, %1, %2;" : "=f"(x) : "f"(a), "f"(b));
    return x;
  } else
    return op_is_nan(a) || op_lt(b, a) ? a : b;
}
template <class T>
PLAIT_D T op_min(T a, T b) {
  if constexpr (is_integer<T>) {
    return b < a ? b : a;
  } else if constexpr (same<T, float>) {
    float x;
    asm("min.NaN.f32 %0, %1, %2;" : "=f"(x) : "f"(a), "f"(b));
    return x;
  } else
    return op_is_nan(a) || op_lt(a, b) ? a : b;
}
template <class T>
PLAIT_D T op_neg(T x) {
  if constexpr (is_complex<T>)
    return {-x.re, -x.im};
  else if constexpr (is_real<T>)
    return -x;
  else if constexpr (same<T, bool>)
    return x;
  else
    return static_cast<T>(0 - static_cast<u64>(x));
}
template <class T>
PLAIT_D auto op_abs(T x) {
  if constexpr (is_complex<T>)
    return __double2float_rn(modulus(wide(x)).v);
  else if constexpr (same<T, float>)
    return __uint_as_float(__float_as_uint(x) & 0x7fffffffu);
  else if constexpr (same<T, double>)
    return from_bits<double>(to_bits(x) & ~(1ull << 63));
  else if constexpr (is_signed_integer<T>)
    return x < T(0) ? static_cast<T>(0 - static_cast<u64>(x)) : x;
  else
    return x;
}
template <class T>
PLAIT_D T op_sign(T x) {
  if constexpr (is_complex<T>) {
    const float a = op_abs(x);
    return x.re == 0 && x.im == 0 ? x : Complex{__fdiv_rn(x.re, a), __fdiv_rn(x.im, a)};
  } else if constexpr (is_real<T>) {
    return x > 0 ? T(1) : x < 0 ? T(-1) : x == 0 ? T(0) : x;
  } else {
    return x > T(0) ? T(1) : x < T(0) ? static_cast<T>(-1) : T(0);
  }
}
template <class T>
  requires(!is_complex<T> && !same<T, bool>)
PLAIT_D T op_floor_div(T a, T b) {
  if constexpr (is_real<T>) {
    return real::floor(real::Lane<T>(a) / real::Lane<T>(b)).v;
  } else {
    if (b == 0) return 0;
    if constexpr (is_signed_integer<T>) {
      if (b == -1) return static_cast<T>(0 - static_cast<u64>(a));
      return static_cast<T>(a / b - ((a % b != 0) && ((a < 0) != (b < 0))));
    }
    return static_cast<T>(a / b);
  }
}
template <class T>
  requires(!is_complex<T> && !same<T, bool>)
PLAIT_D T op_rem(T a, T b) {
  if constexpr (is_real<T>) {
    T r;  // exact, whoever computes it
    if constexpr (same<T, float>)
      r = ::fmodf(a, b);
    else
      r = ::fmod(a, b);
    return r != 0 && ((r < 0) != (b < 0)) ? op_add(r, b) : r;
  } else {
    if (b == 0) return 0;
    if constexpr (is_signed_integer<T>) {
      if (b == -1) return 0;
      const T r = static_cast<T>(a % b);
      return r != 0 && ((r < 0) != (b < 0)) ? static_cast<T>(r + b) : r;
    }
    return static_cast<T>(a % b);
  }
}

// --- bits ----------------------------------------------------------------------------------------------------------------

#define PLAIT_BITS(name, symbol)       \
  template <class T>                   \
    requires(is_integer<T>)            \
  PLAIT_D T name(T a, T b) {           \
    return static_cast<T>(a symbol b); \
  }
PLAIT_BITS(op_bit_and, &)
PLAIT_BITS(op_bit_or, |)
PLAIT_BITS(op_bit_xor, ^)
#undef PLAIT_BITS
template <class T>
  requires(is_integer<T>)
PLAIT_D T op_bit_not(T x) {
  if constexpr (same<T, bool>)
    return !x;
  else
    return static_cast<T>(~x);
}
template <class T>
  requires(is_integer<T> && !same<T, bool>)
PLAIT_D T op_shl(T a, T b) {
  return static_cast<u64>(b) < 8 * sizeof(T) ? static_cast<T>(static_cast<u64>(a) << static_cast<u64>(b)) : T(0);
}
template <class T>
  requires(is_integer<T> && !same<T, bool>)
PLAIT_D T op_shr(T a, T b) {
  if (static_cast<u64>(b) < 8 * sizeof(T)) return static_cast<T>(a >> static_cast<int>(b));
  return a < T(0) ? static_cast<T>(-1) : T(0);
}

// --- complex parts ---------------------------------------------------------------------------------------------------------

PLAIT_D float op_real(Complex x) { return x.re; }
PLAIT_D float op_imag(Complex x) { return x.im; }
PLAIT_D Complex op_conj(Complex x) { return {x.re, -x.im}; }
PLAIT_D Complex op_complex(float re, float im) { return {re, im}; }

// --- functions -------------------------------------------------------------------------------------------------------------

#define PLAIT_ROUNDING(name, function)           \
  template <class T>                             \
  PLAIT_D T name(T x) {                          \
    if constexpr (is_complex<T>)                 \
      return {name(x.re), name(x.im)};           \
    else if constexpr (is_real<T>)               \
      return real::function(real::Lane<T>(x)).v; \
    else                                         \
      return x;                                  \
  }
PLAIT_ROUNDING(op_floor, floor)
PLAIT_ROUNDING(op_ceil, ceil)
PLAIT_ROUNDING(op_trunc, trunc)
PLAIT_ROUNDING(op_rint, round_even)
#undef PLAIT_ROUNDING

// Those of float32 and float64 are the CPU's; `z` is the complex number.
#define PLAIT_FUNCTION(name, function, complex_formula) \
  template <class T>                                    \
    requires(!is_integer<T>)                            \
  PLAIT_D T name(T x) {                                 \
    if constexpr (is_complex<T>) {                      \
      const WideComplex z = wide(x);                    \
      return narrow(complex_formula);                   \
    } else {                                            \
      return real::function(real::Lane<T>(x)).v;        \
    }                                                   \
  }
PLAIT_FUNCTION(op_sqrt, sqrt, sqrt_complex(z))
PLAIT_FUNCTION(op_exp, exp, exp_complex(z))
PLAIT_FUNCTION(op_exp2, exp2, exp_complex(scaled(z, 0x1.62e42fefa39efp-1)))
PLAIT_FUNCTION(op_expm1, expm1, expm1_complex(z))
PLAIT_FUNCTION(op_log, log, log_complex(z))
PLAIT_FUNCTION(op_log2, log2, scaled(log_complex(z), 0x1.71547652b82fep+0))
PLAIT_FUNCTION(op_log10, log10, scaled(log_complex(z), 0x1.bcb7b1526e50ep-2))
PLAIT_FUNCTION(op_log1p, log1p, log1p_complex(z))
PLAIT_FUNCTION(op_sin, sin, turned_back(sinh_complex(turned(z))))
PLAIT_FUNCTION(op_cos, cos, cosh_complex(turned(z)))
PLAIT_FUNCTION(op_tan, tan, turned_back(tanh_complex(turned(z))))
PLAIT_FUNCTION(op_asin, asin, asin_complex(z))
PLAIT_FUNCTION(op_acos, acos, acos_complex(z))
PLAIT_FUNCTION(op_atan, atan, turned_back(atanh_complex(turned(z))))
PLAIT_FUNCTION(op_sinh, sinh, sinh_complex(z))
PLAIT_FUNCTION(op_cosh, cosh, cosh_complex(z))
PLAIT_FUNCTION(op_tanh, tanh, tanh_complex(z))
PLAIT_FUNCTION(op_asinh, asinh, turned_back(asin_complex(turned(z))))
PLAIT_FUNCTION(op_acosh, acosh, acosh_complex(z))
PLAIT_FUNCTION(op_atanh, atanh, atanh_complex(z))
#undef PLAIT_FUNCTION

/// 2^n 2^r with n an integer in -126..126 near x / log(2) and r the rest, whatever it is: then no argument needs care. The hardware's 2^r
/// is within 2 ULP.
PLAIT_D float op_exp(float x) {
  const float n_bits = __fmaf_rd(__saturatef(__fmaf_rn(x, 0x1.71547652b82fep+0 / 252, 0.5f)), 252.0f, 0x1.8p23f + 1);
  const float n = __fsub_rn(n_bits, 0x1.8p23f + 127);
  const float r = __fmaf_rn(x, 0x1.4ae0cp-26f, __fmaf_rn(x, 0x1.715476p+0f, -n));
  float p;
  asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(p) : "f"(r));
  return __fmul_rn(p, __uint_as_float(__float_as_uint(n_bits) << 23));
}

/// Of a 16-bit float, to be rounded to its type: right to 18 bits.
PLAIT_D float op_exp_narrow(float x) {
  float p;
  asm("ex2.approx.f32 %0, %1;" : "=f"(p) : "f"(__fmul_rn(x, 0x1.715476p+0f)));
  return p;
}

template <class T>
  requires(!is_integer<T>)
PLAIT_D T op_rsqrt(T x) {
  if constexpr (is_complex<T>)
    return narrow(divided({1.0, 0.0}, sqrt_complex(wide(x))));
  else
    return (1 / real::sqrt(real::Lane<T>(x))).v;
}
template <class T>
  requires(is_real<T>)
PLAIT_D T op_erf(T x) {
  return real::erf(real::Lane<T>(x)).v;
}
template <class T>
  requires(is_real<T>)
PLAIT_D T op_erfinv(T x) {
  return real::erfinv(real::Lane<T>(x)).v;
}
template <class T>
  requires(is_real<T>)
PLAIT_D T op_atan2(T y, T x) {
  return real::atan2(real::Lane<T>(y), real::Lane<T>(x)).v;
}
template <class T>
PLAIT_D T op_pow(T a, T b) {
  if constexpr (is_complex<T>) {
    if (a.re == 0 && a.im == 0) return {b.re == 0 && b.im == 0 ? 1.0f : 0.0f, 0.0f};
    const WideComplex l = log_complex(wide(a)), p = wide(b);
    return narrow(exp_complex({p.re * l.re - p.im * l.im, p.re * l.im + p.im * l.re}));
  } else if constexpr (is_real<T>) {
    return real::pow(real::Lane<T>(a), real::Lane<T>(b)).v;
  } else if constexpr (same<T, bool>) {
    return a || !b;
  } else {
    if (b < T(0)) return a == T(1) ? T(1) : a == static_cast<T>(-1) ? ((b & 1) ? a : T(1)) : T(0);
    u64 result = 1, square = static_cast<u64>(a);
    for (u64 left = static_cast<u64>(b); left; left >>= 1, square *= square)
      if (left & 1) result *= square;
    return static_cast<T>(result);
  }
}

}  // namespace plait::cuda
