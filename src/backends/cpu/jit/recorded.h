// Vectors that record what is done with them: simd/vec.h includes this in place of the machine's own for the target
// `recorded`, so that simd/math.h and the interpreter's formulas can be run once to write a tape.
#pragma once

#include <cstdint>
#include <type_traits>
#include <utility>

#include "backends/cpu/jit/tape.h"

#define PLAIT_SIMD static inline
#define PLAIT_RARE static inline

namespace plait::cpu::recorded {

using jit::Code;
using jit::recording;

constexpr bool kFusedMultiplyAdd = true;
constexpr int kVectorBytes = 64;

inline int record(Code code, int a = -1, int b = -1, int c = -1, int imm = 0) {
  return recording()->add(code, a, b, c, static_cast<uint8_t>(imm));
}
/// What needs to look at elements, or at other widths, cannot be recorded.
inline void cannot_record() { recording()->failed = true; }

struct RecordedMask {
  int id;
  friend RecordedMask operator&(RecordedMask a, RecordedMask b) { return {record(Code::mask_and, a.id, b.id)}; }
  friend RecordedMask operator|(RecordedMask a, RecordedMask b) { return {record(Code::mask_or, a.id, b.id)}; }
  friend RecordedMask operator!=(RecordedMask a, RecordedMask b) { return {record(Code::mask_xor, a.id, b.id)}; }
  friend RecordedMask operator==(RecordedMask a, RecordedMask b) { return ~(a != b); }
  friend RecordedMask operator~(RecordedMask a) { return {record(Code::mask_not, a.id)}; }
};

template <class T>
struct Recorded {
  int id;
  Recorded() : Recorded(T{}) {}
  explicit Recorded(T x) {
    if constexpr (sizeof(T) == 4) {
      id = recording()->constant(__builtin_bit_cast(uint32_t, x));
    } else {
      cannot_record();
      id = 0;
    }
  }
  static Recorded of(int id) {
    Recorded r(kNoValue);
    r.id = id;
    return r;
  }
  T& operator[](int) const {
    static thread_local T element;
    cannot_record();
    return element;
  }

  static constexpr bool kFloat = std::is_floating_point_v<T>;
#define PLAIT_RECORD_AS(op, code)                                                                        \
  friend Recorded operator op(Recorded a, Recorded b) { return Recorded::of(record(code, a.id, b.id)); } \
  friend Recorded operator op(Recorded a, T b) { return a op Recorded(b); }                              \
  friend Recorded operator op(T a, Recorded b) { return Recorded(a) op b; }
  PLAIT_RECORD_AS(+, kFloat ? Code::add : Code::int_add)
  PLAIT_RECORD_AS(-, kFloat ? Code::sub : Code::int_sub)
  PLAIT_RECORD_AS(*, Code::mul)
  PLAIT_RECORD_AS(/, Code::div)
  PLAIT_RECORD_AS(&, Code::bit_and)
  PLAIT_RECORD_AS(|, Code::bit_or)
  PLAIT_RECORD_AS(^, Code::bit_xor)
#undef PLAIT_RECORD_AS
  static constexpr Code kCompare = kFloat                ? Code::compare
                                   : std::is_signed_v<T> ? Code::compare_int
                                                         : Code::compare_unsigned;
  // Predicates: of vcmpps, quiet for equality; of vpcmpd.
#define PLAIT_RECORD_AS(op, of_floats, of_integers)                              \
  friend RecordedMask operator op(Recorded a, Recorded b) {                      \
    return {record(kCompare, a.id, b.id, -1, kFloat ? of_floats : of_integers)}; \
  }                                                                              \
  friend RecordedMask operator op(Recorded a, T b) { return a op Recorded(b); }  \
  friend RecordedMask operator op(T a, Recorded b) { return Recorded(a) op b; }
  PLAIT_RECORD_AS(==, 0x00, 0)
  PLAIT_RECORD_AS(!=, 0x04, 4)
  PLAIT_RECORD_AS(<, 0x01, 1)
  PLAIT_RECORD_AS(<=, 0x02, 2)
  PLAIT_RECORD_AS(>, 0x0e, 6)
  PLAIT_RECORD_AS(>=, 0x0d, 5)
#undef PLAIT_RECORD_AS
  friend Recorded operator<<(Recorded a, int bits) {
    return Recorded::of(record(Code::shift_left, a.id, -1, -1, bits));
  }
  friend Recorded operator>>(Recorded a, int bits) {
    return Recorded::of(record(std::is_signed_v<T> ? Code::shift_right_signed : Code::shift_right, a.id, -1, -1, bits));
  }
  friend Recorded operator-(Recorded a) {
    if constexpr (kFloat)
      return Recorded::of(record(Code::bit_xor, a.id, recording()->constant(0x80000000u)));
    else
      return T{} - a;
  }
  Recorded& operator+=(Recorded b) { return *this = *this + b; }
  friend Recorded operator!(Recorded) = delete;

 private:
  enum Nothing { kNoValue };
  explicit Recorded(Nothing) {}
};

template <class T, int N>
using VecN = Recorded<T>;
template <class T>
constexpr int kLanes = 16;
template <class T>
using Vec = Recorded<T>;
template <class V>
using LaneOf = std::remove_cv_t<std::remove_reference_t<decltype(std::declval<V&>()[0])>>;
template <class V>
constexpr int kLanesOf = 1;
template <class V>
using MaskOf = RecordedMask;
template <class T>
struct IntOfSize;
template <>
struct IntOfSize<float> {
  using type = int32_t;
};
template <>
struct IntOfSize<int32_t> {
  using type = int32_t;
};
template <>
struct IntOfSize<uint32_t> {
  using type = int32_t;
};
template <>
struct IntOfSize<double> {
  using type = int64_t;
};
template <class V>
using BitsOf = Recorded<typename IntOfSize<LaneOf<V>>::type>;
template <class V>
using UnsignedBitsOf = Recorded<std::make_unsigned_t<typename IntOfSize<LaneOf<V>>::type>>;
template <class V>
using HalfOf = V;
template <class V>
using TwiceOf = V;

/// The same value seen as another type: a recorded vector is its number, whatever its type.
template <class To, class From>
static constexpr inline To bit_cast(From v) {
  return __builtin_bit_cast(To, v);
}

template <class V>
V splat(LaneOf<V> x) {
  return V(x);
}
template <class T, class V>
Recorded<T> convert(V) {
  cannot_record();
  return {};
}
template <class V>
V low_half(V v) {
  return v;
}
template <class V>
V high_half(V v) {
  return v;
}
template <class V>
V join(V low, V) {
  return low;
}

template <class V>
V select(RecordedMask mask, V a, V b) {
  return V::of(record(Code::blend, mask.id, a.id, b.id));
}
inline bool any(RecordedMask) {
  cannot_record();
  return false;
}
inline bool all(RecordedMask) {
  cannot_record();
  return true;
}

template <class V>
V fma(V a, V b, V c) {
  return V::of(record(Code::fma, a.id, b.id, c.id));
}
template <class V>
V sqrt(V x) {
  return V::of(record(Code::sqrt, x.id));
}
template <class V>
V min_or_second(V a, V b) {
  return V::of(record(Code::min_or_second, a.id, b.id));
}
template <class V>
V max_or_second(V a, V b) {
  return V::of(record(Code::max_or_second, a.id, b.id));
}
enum class Rounding { even, down, up, zero };  // as vrndscaleps has them
template <Rounding kMode, class V>
V round_to(V x) {
  return V::of(record(Code::round, x.id, -1, -1, static_cast<int>(kMode) | 8));  // 8: no exceptions
}
#define PLAIT_SIMD_SCALES 1
template <class V>
V scale_by(V x, V n) {
  return V::of(record(Code::scalef, x.id, n.id));
}
template <class V>
V exponent_of(V x) {
  return V::of(record(Code::get_exponent, x.id));
}
template <class V>
V mantissa_of(V x) {
  return V::of(record(Code::get_mantissa, x.id, -1, -1, 3 | 2 << 2));  // [0.75, 1.5), NaN for negative x
}

}  // namespace plait::cpu::recorded
