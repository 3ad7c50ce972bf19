#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "plait/export.h"

namespace plait {

/// Element types, in promotion order within each kind.
enum class DType : uint8_t {
  bool_,
  uint8,
  uint16,
  uint32,
  uint64,
  int8,
  int16,
  int32,
  int64,
  float16,
  bfloat16,
  float32,
  float64,
  complex64,
};

inline constexpr int kDTypeCount = 14;

/// Kinds as in NumPy's hierarchy; `DTypes` is a set of dtypes, one bit each.
using DTypes = uint16_t;

constexpr DTypes dtype_bit(DType d) { return static_cast<DTypes>(1u << static_cast<int>(d)); }

namespace dtypes {
inline constexpr DTypes boolean = dtype_bit(DType::bool_);
inline constexpr DTypes unsigned_integer =
    dtype_bit(DType::uint8) | dtype_bit(DType::uint16) | dtype_bit(DType::uint32) | dtype_bit(DType::uint64);
inline constexpr DTypes signed_integer =
    dtype_bit(DType::int8) | dtype_bit(DType::int16) | dtype_bit(DType::int32) | dtype_bit(DType::int64);
inline constexpr DTypes integer = unsigned_integer | signed_integer;
inline constexpr DTypes floating =
    dtype_bit(DType::float16) | dtype_bit(DType::bfloat16) | dtype_bit(DType::float32) | dtype_bit(DType::float64);
inline constexpr DTypes complex = dtype_bit(DType::complex64);
inline constexpr DTypes inexact = floating | complex;
inline constexpr DTypes real = boolean | integer | floating;
inline constexpr DTypes numeric = integer | inexact;
inline constexpr DTypes any = real | complex;
}  // namespace dtypes

constexpr bool is_in(DType d, DTypes set) { return (dtype_bit(d) & set) != 0; }
constexpr bool is_floating(DType d) { return is_in(d, dtypes::floating); }
constexpr bool is_inexact(DType d) { return is_in(d, dtypes::inexact); }
constexpr bool is_integer(DType d) { return is_in(d, dtypes::integer); }
constexpr bool is_half(DType d) { return d == DType::float16 || d == DType::bfloat16; }

/// Bytes of one element.
constexpr int size_of(DType d) {
  constexpr int sizes[kDTypeCount] = {1, 1, 2, 4, 8, 1, 2, 4, 8, 2, 2, 4, 8, 8};
  return sizes[static_cast<int>(d)];
}

/// "float32", "bool", ...: the name without a module.
PLAIT_API std::string_view name_of(DType d);

/// The dtype two operands meet in. Unsigned with signed integers widen to the next signed type; uint64 with a
/// signed integer gives float32, float16 with bfloat16 gives float32, anything with complex64 gives complex64.
PLAIT_API DType promote(DType a, DType b);

/// `d` if it is inexact, else float32: the dtype of sqrt, mean and the like.
constexpr DType at_least_float(DType d) { return is_inexact(d) ? d : DType::float32; }

/// 16-bit floats on the host, for C++ users who read `data<float16_t>()`. Conversion rounds to nearest even.
struct float16_t {
  uint16_t bits;
  PLAIT_API explicit operator float() const;
  PLAIT_API static float16_t from(float x);
};
struct bfloat16_t {
  uint16_t bits;
  PLAIT_API explicit operator float() const;
  PLAIT_API static bfloat16_t from(float x);
};
struct complex64_t {
  float re;
  float im;
};

/// The DType of a C++ element type; undefined for types that no array holds.
template <class T>
struct dtype_of_t;
#define PLAIT_DTYPE_OF(type, name)              \
  template <>                                   \
  struct dtype_of_t<type> {                     \
    static constexpr DType value = DType::name; \
  };
PLAIT_DTYPE_OF(bool, bool_)
PLAIT_DTYPE_OF(uint8_t, uint8)
PLAIT_DTYPE_OF(uint16_t, uint16)
PLAIT_DTYPE_OF(uint32_t, uint32)
PLAIT_DTYPE_OF(uint64_t, uint64)
PLAIT_DTYPE_OF(int8_t, int8)
PLAIT_DTYPE_OF(int16_t, int16)
PLAIT_DTYPE_OF(int32_t, int32)
PLAIT_DTYPE_OF(int64_t, int64)
PLAIT_DTYPE_OF(float16_t, float16)
PLAIT_DTYPE_OF(bfloat16_t, bfloat16)
PLAIT_DTYPE_OF(float, float32)
PLAIT_DTYPE_OF(double, float64)
PLAIT_DTYPE_OF(complex64_t, complex64)
#undef PLAIT_DTYPE_OF
template <class T>
inline constexpr DType dtype_of = dtype_of_t<T>::value;

}  // namespace plait
