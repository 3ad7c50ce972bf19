#include "plait/dtype.h"

#include <array>
#include <bit>
#include <cmath>
#include <cstring>

#include "plait/error.h"
#include "plait/scalar.h"

namespace plait {

std::string_view name_of(DType d) {
  static constexpr std::array<std::string_view, kDTypeCount> names = {
      "bool",  "uint8", "uint16",  "uint32",   "uint64",  "int8",    "int16",
      "int32", "int64", "float16", "bfloat16", "float32", "float64", "complex64"};
  return names[static_cast<size_t>(d)];
}

DType promote(DType a, DType b) {
  if (a == b) return a;
  if (a > b) std::swap(a, b);  // a is now the earlier kind
  if (a == DType::bool_ || b == DType::complex64) return b;
  if (is_integer(a) && is_floating(b)) return b;
  if (is_floating(a)) return a == DType::float16 && b == DType::bfloat16 ? DType::float32 : b;
  const bool a_unsigned = is_in(a, dtypes::unsigned_integer);
  const bool b_unsigned = is_in(b, dtypes::unsigned_integer);
  if (a_unsigned == b_unsigned) return b;
  if (a == DType::uint64) return DType::float32;
  if (size_of(b) > size_of(a)) return b;
  switch (size_of(a)) {
    case 1: return DType::int16;
    case 2: return DType::int32;
    default: return DType::int64;
  }
}

float16_t float16_t::from(float x) {
  // Rounds to nearest even by integer arithmetic; NaNs stay NaNs (quiet, payload cut).
  const uint32_t u = std::bit_cast<uint32_t>(x);
  const uint32_t sign = (u >> 16) & 0x8000u;
  const uint32_t mag = u & 0x7fffffffu;
  if (mag > 0x7f800000u) return {static_cast<uint16_t>(sign | 0x7e00u | ((mag >> 13) & 0x3ffu))};
  if (mag >= 0x477ff000u) return {static_cast<uint16_t>(sign | 0x7c00u)};  // rounds past 65504
  if (mag < 0x38800000u) {                                                 // below 2^-14: subnormal
    const float shifted = std::bit_cast<float>(mag) + 0.5f;                // aligns the last kept bit with float's
    return {static_cast<uint16_t>(sign | (std::bit_cast<uint32_t>(shifted) - 0x3f000000u))};
  }
  const uint32_t rounded = mag + 0xfffu + ((mag >> 13) & 1u);
  return {static_cast<uint16_t>(sign | ((rounded - 0x38000000u) >> 13))};
}

float16_t::operator float() const {
  const uint32_t sign = static_cast<uint32_t>(bits & 0x8000u) << 16;
  const uint32_t mag = bits & 0x7fffu;
  if (mag >= 0x7c00u) return std::bit_cast<float>(sign | 0x7f800000u | ((mag & 0x3ffu) << 13));
  if (mag >= 0x400u) return std::bit_cast<float>(sign | ((mag << 13) + 0x38000000u));
  const float tiny = static_cast<float>(mag) * 0x1p-24f;
  return std::bit_cast<float>(sign | std::bit_cast<uint32_t>(tiny));
}

bfloat16_t bfloat16_t::from(float x) {
  const uint32_t u = std::bit_cast<uint32_t>(x);
  if ((u & 0x7fffffffu) > 0x7f800000u) return {static_cast<uint16_t>((u >> 16) | 0x40u)};
  return {static_cast<uint16_t>((u + 0x7fffu + ((u >> 16) & 1u)) >> 16)};
}

bfloat16_t::operator float() const { return std::bit_cast<float>(static_cast<uint32_t>(bits) << 16); }

DType Scalar::default_dtype() const {
  switch (kind) {
    case Kind::boolean: return DType::bool_;
    case Kind::integer:
      if (is_unsigned) return DType::uint64;
      return i >= INT32_MIN && i <= INT32_MAX ? DType::int32 : DType::int64;
    case Kind::floating: return DType::float32;
    case Kind::complex: return DType::complex64;
  }
  return DType::float32;
}

DType Scalar::dtype_with(DType array) const {
  switch (kind) {
    case Kind::boolean: return array;
    case Kind::integer: return array == DType::bool_ ? DType::int32 : array;
    case Kind::floating: return is_inexact(array) ? array : DType::float32;
    case Kind::complex: return DType::complex64;
  }
  return array;
}

ScalarBits ScalarBits::of(const Scalar& s, DType d) {
  const bool whole = s.kind == Scalar::Kind::integer || s.kind == Scalar::Kind::boolean;
  const double re = whole && s.is_unsigned ? static_cast<double>(static_cast<uint64_t>(s.i))
                    : whole                ? static_cast<double>(s.i)
                                           : s.re;
  // Out-of-range conversions wrap as astype does; NaN gives 0.
  const auto to_int = [&]() -> uint64_t {
    if (whole) return static_cast<uint64_t>(s.i);
    if (!(std::fabs(re) < 0x1p64)) return 0;
    return re < 0 ? static_cast<uint64_t>(-static_cast<int64_t>(std::fmin(-re, 0x1p63 - 1024)))
                  : static_cast<uint64_t>(re);
  };
  ScalarBits out;
  switch (d) {
    case DType::bool_: out.bits = whole ? s.i != 0 : (re != 0 || s.im != 0); break;
    case DType::uint8:
    case DType::int8: out.bits = to_int() & 0xffu; break;
    case DType::uint16:
    case DType::int16: out.bits = to_int() & 0xffffu; break;
    case DType::uint32:
    case DType::int32: out.bits = to_int() & 0xffffffffu; break;
    case DType::uint64:
    case DType::int64: out.bits = to_int(); break;
    case DType::float16: out.bits = float16_t::from(static_cast<float>(re)).bits; break;
    case DType::bfloat16: out.bits = bfloat16_t::from(static_cast<float>(re)).bits; break;
    case DType::float32: out.bits = std::bit_cast<uint32_t>(static_cast<float>(re)); break;
    case DType::float64: out.bits = std::bit_cast<uint64_t>(re); break;
    case DType::complex64:
      out.bits = std::bit_cast<uint32_t>(static_cast<float>(re)) |
                 static_cast<uint64_t>(std::bit_cast<uint32_t>(static_cast<float>(s.im))) << 32;
      break;
  }
  return out;
}

}  // namespace plait
