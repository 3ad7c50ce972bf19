#pragma once

#include <cstdint>
#include <initializer_list>
#include <span>
#include <string>
#include <vector>

#include "plait/export.h"
#include "plait/small_vector.h"

namespace plait {

/// One extent. Outside a trace it is a plain number. Under `compile` it also names an expression over the extents of
/// the traced inputs, so that the trace serves every shape: arithmetic builds expressions, and a comparison whose
/// answer could differ for another shape is recorded as a guard of the trace.
class PLAIT_API Dim {
 public:
  Dim() = default;
  Dim(int64_t value) : value_(value) {}  // NOLINT: an extent is a number
  Dim(int value) : value_(value) {}      // NOLINT
  static Dim symbolic(int64_t value, uint32_t expr) {
    Dim d(value);
    d.expr_ = expr;
    return d;
  }

  /// The extent of the example at hand, without recording anything: for kernels, messages and printing.
  int64_t value() const { return value_; }
  /// The extent as a fixed number; under a trace the trace is from now on valid for this extent only.
  int64_t fixed() const { return expr_ == 0 ? value_ : fix(); }
  /// 0 for a plain number, else the expression in the current trace.
  uint32_t expr() const { return expr_; }

  friend Dim operator+(Dim a, Dim b) { return plain(a, b) ? Dim(add(a.value_, b.value_)) : combine('+', a, b); }
  friend Dim operator-(Dim a, Dim b) { return plain(a, b) ? Dim(subtract(a.value_, b.value_)) : combine('-', a, b); }
  friend Dim operator*(Dim a, Dim b) { return plain(a, b) ? Dim(multiply(a.value_, b.value_)) : combine('*', a, b); }
  /// Rounds towards minus infinity; the divisor is positive.
  friend Dim operator/(Dim a, Dim b) { return plain(a, b) ? Dim(floor_div(a.value_, b.value_)) : combine('/', a, b); }
  friend Dim operator%(Dim a, Dim b) { return a - (a / b) * b; }
  Dim& operator+=(Dim b) { return *this = *this + b; }
  Dim& operator*=(Dim b) { return *this = *this * b; }

  friend bool operator==(Dim a, Dim b) { return plain(a, b) ? a.value_ == b.value_ : compare('=', a, b); }
  friend bool operator<(Dim a, Dim b) { return plain(a, b) ? a.value_ < b.value_ : compare('<', a, b); }
  friend bool operator>(Dim a, Dim b) { return b < a; }
  friend bool operator<=(Dim a, Dim b) { return !(b < a); }
  friend bool operator>=(Dim a, Dim b) { return !(a < b); }

  // Past what 64 bits hold a result stays at the bound, which no array's extent reaches.
  static int64_t add(int64_t a, int64_t b) {
    int64_t sum = 0;
    return __builtin_add_overflow(a, b, &sum) ? (a < 0 ? INT64_MIN : INT64_MAX) : sum;
  }
  static int64_t subtract(int64_t a, int64_t b) {
    int64_t difference = 0;
    return __builtin_sub_overflow(a, b, &difference) ? (a < 0 ? INT64_MIN : INT64_MAX) : difference;
  }
  static int64_t multiply(int64_t a, int64_t b) {
    int64_t product = 0;
    return __builtin_mul_overflow(a, b, &product) ? ((a < 0) != (b < 0) ? INT64_MIN : INT64_MAX) : product;
  }
  static int64_t floor_div(int64_t a, int64_t b) { return a / b - ((a % b != 0) && ((a < 0) != (b < 0))); }

 private:
  static bool plain(Dim a, Dim b) { return (a.expr_ | b.expr_) == 0; }
  static Dim combine(char op, Dim a, Dim b);
  static bool compare(char op, Dim a, Dim b);
  int64_t fix() const;

  int64_t value_ = 0;
  uint32_t expr_ = 0;
};

/// Extents from the outermost axis to the innermost; empty for a 0-d array.
class PLAIT_API Shape : public SmallVector<Dim, 4> {
 public:
  using SmallVector<Dim, 4>::SmallVector;
  Shape() = default;
  Shape(std::initializer_list<Dim> dims) : SmallVector<Dim, 4>(dims) {}
  explicit Shape(std::span<const int64_t> dims) {
    for (int64_t d : dims) push_back(Dim(d));
  }

  int rank() const { return static_cast<int>(size()); }
  /// Number of elements. 1 for a 0-d shape.
  Dim count() const;
  /// Number of elements as a plain number, recording nothing; the largest number when it is larger. No array has such a
  /// shape: operations that would make one raise ShapeError.
  int64_t count_value() const;
  std::vector<int64_t> values() const;
};

/// "(4, 9)", "(4,)", "()": as Python prints a tuple.
PLAIT_API std::string to_string(const Shape& shape);

}  // namespace plait
