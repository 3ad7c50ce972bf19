#pragma once

#include <cstdint>
#include <string>

#include "plait/dtype.h"

namespace plait {

/// A number from the host language. As an operand it is weak: it takes the array's dtype unless its kind is wider.
struct PLAIT_API Scalar {
  enum class Kind : uint8_t { boolean, integer, floating, complex };

  Kind kind = Kind::integer;
  int64_t i = 0;   // boolean and integer; the bits of a uint64 when `is_unsigned`
  double re = 0;   // floating and complex
  double im = 0;
  bool is_unsigned = false;  // i holds a value past 2^63 - 1

  Scalar() = default;
  Scalar(bool v) : kind(Kind::boolean), i(v), re(v) {}  // NOLINT: a scalar is a number
  Scalar(int v) : kind(Kind::integer), i(v), re(v) {}  // NOLINT
  Scalar(int64_t v) : kind(Kind::integer), i(v), re(static_cast<double>(v)) {}  // NOLINT
  Scalar(uint64_t v)  // NOLINT
      : kind(Kind::integer), i(static_cast<int64_t>(v)), re(static_cast<double>(v)), is_unsigned(v >> 63) {}
  Scalar(float v) : kind(Kind::floating), i(0), re(v) {}  // NOLINT
  Scalar(double v) : kind(Kind::floating), i(0), re(v) {}  // NOLINT
  Scalar(complex64_t v) : kind(Kind::complex), i(0), re(v.re), im(v.im) {}  // NOLINT

  /// bool, int32 (int64 when it does not fit), float32 or complex64: the dtype of an array made from it alone.
  DType default_dtype() const;
  /// The dtype of `array op scalar`.
  DType dtype_with(DType array) const;
};

/// A Scalar converted to one dtype, as the bits of one element (complex64 uses both halves).
struct PLAIT_API ScalarBits {
  uint64_t bits = 0;
  static ScalarBits of(const Scalar& s, DType d);
};

}  // namespace plait
