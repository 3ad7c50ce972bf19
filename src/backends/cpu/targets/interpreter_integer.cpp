// Integers and bool. What wraps is computed unsigned: the bits are the same, and overflow is defined.
#include "backends/cpu/targets/tile_loops.h"

namespace plait::cpu::PLAIT_TARGET {
namespace {

using ir::Op;

template <class V>
constexpr LaneOf<V> kWidth = static_cast<LaneOf<V>>(8 * sizeof(LaneOf<V>));

PLAIT_TILE_FN1(Same, a)
PLAIT_TILE_FN1(Neg, -a)
PLAIT_TILE_FN1(Not, ~a)
PLAIT_TILE_FN1(LogicalNot, a ^ 1)
PLAIT_TILE_FN1(AbsSigned, bit_cast<V>(select(a < 0, -bit_cast<UnsignedBitsOf<V>>(a), bit_cast<UnsignedBitsOf<V>>(a))))
PLAIT_TILE_FN1(SignSigned, bit_cast<V>((a < 0) - (a > 0)))
PLAIT_TILE_FN1(SignUnsigned, bit_cast<V>(-(a != 0)))
PLAIT_TILE_FN1(Never, a != a)
PLAIT_TILE_FN1(Always, a == a)
PLAIT_TILE_FN2(Add, a + b)
PLAIT_TILE_FN2(Sub, a - b)
PLAIT_TILE_FN2(Mul, a* b)
PLAIT_TILE_FN2(And, a& b)
PLAIT_TILE_FN2(Or, a | b)
PLAIT_TILE_FN2(Xor, a ^ b)
PLAIT_TILE_FN2(PowBool, a | (b ^ 1))
PLAIT_TILE_FN2(Max, a > b ? a : b)
PLAIT_TILE_FN2(Min, a < b ? a : b)
PLAIT_TILE_FN2(Eq, a == b)
PLAIT_TILE_FN2(Ne, a != b)
PLAIT_TILE_FN2(Lt, a < b)
PLAIT_TILE_FN2(Le, a <= b)
PLAIT_TILE_FN2(Gt, a > b)
PLAIT_TILE_FN2(Ge, a >= b)

// Counts from the width on, and negative ones, shift everything out.
template <class V>
PLAIT_SIMD auto too_far(V count) {
  return bit_cast<UnsignedBitsOf<V>>(count) >= static_cast<LaneOf<UnsignedBitsOf<V>>>(kWidth<V>);
}
PLAIT_TILE_FN2(Shl, too_far(b) ? V{}
                               : bit_cast<V>(bit_cast<UnsignedBitsOf<V>>(a)
                                             << bit_cast<UnsignedBitsOf<V>>(b & (kWidth<V> - 1))))
PLAIT_TILE_FN2(Shr, (too_far(b) ? (a < 0 ? ~V{} : V{}) : a >> (b & (kWidth<V> - 1))))

struct FloorDiv {
  template <class V>
  PLAIT_SIMD V apply(V a, V b) {
    using T = LaneOf<V>;
    return by_lane<T>(a, b, [](T x, T y) -> T {
      if (y == 0) return 0;
      if constexpr (std::is_signed_v<T>) {
        if (y == -1) return static_cast<T>(0 - static_cast<std::make_unsigned_t<T>>(x));
        const T q = static_cast<T>(x / y);
        return static_cast<T>(q - (q * y != x && (x < 0) != (y < 0)));
      }
      return static_cast<T>(x / y);
    });
  }
};

struct Rem {
  template <class V>
  PLAIT_SIMD V apply(V a, V b) {
    using T = LaneOf<V>;
    return by_lane<T>(a, b, [](T x, T y) -> T {
      if (y == 0) return 0;
      if constexpr (std::is_signed_v<T>) {
        if (y == -1) return 0;
        const T r = static_cast<T>(x % y);
        return r != 0 && (r < 0) != (y < 0) ? static_cast<T>(r + y) : r;
      }
      return static_cast<T>(x % y);
    });
  }
};

struct Pow {
  template <class V>
  PLAIT_SIMD V apply(V a, V b) {
    using T = LaneOf<V>;
    return by_lane<T>(a, b, [](T base, T exponent) -> T {
      if constexpr (std::is_signed_v<T>) {
        if (exponent < 0) return base == 1 ? T{1} : base == -1 ? (exponent & 1 ? base : T{1}) : T{0};
      }
      uint64_t result = 1, square = static_cast<uint64_t>(base);
      for (uint64_t left = static_cast<uint64_t>(exponent); left; left >>= 1, square *= square)
        if (left & 1) result *= square;
      return static_cast<T>(result);
    });
  }
};

// a * b + c
struct MulAdd {
  template <class V>
  PLAIT_SIMD V apply(V a, V b, V c) {
    return a * b + c;
  }
};

void set(TileKernels& table, Op op, DType type, TileFn fn) {
  table.compute[static_cast<int>(op)][static_cast<int>(type)] = fn;
}

template <class U>
void add_width(TileKernels& table) {
  using S = std::make_signed_t<U>;
  // Arrays, as a list's `begin` and `end` would be code of this instruction set that the linker may share.
  constexpr DType kTypes[] = {dtype_of<U>, dtype_of<S>};
  constexpr Op kRounding[] = {Op::floor, Op::ceil, Op::trunc, Op::rint};
  for (const DType type : kTypes) {
    for (const Op op : kRounding) set(table, op, type, unary_tile<U, Same>);
    set(table, Op::neg, type, unary_tile<U, Neg>);
    set(table, Op::bit_not, type, unary_tile<U, Not>);
    set(table, Op::is_nan, type, test_tile<U, Never>);
    set(table, Op::is_inf, type, test_tile<U, Never>);
    set(table, Op::is_finite, type, test_tile<U, Always>);
    set(table, Op::add, type, binary_tile<U, Add>);
    set(table, Op::sub, type, binary_tile<U, Sub>);
    set(table, Op::mul, type, binary_tile<U, Mul>);
    set(table, Op::bit_and, type, binary_tile<U, And>);
    set(table, Op::bit_or, type, binary_tile<U, Or>);
    set(table, Op::bit_xor, type, binary_tile<U, Xor>);
    set(table, Op::eq, type, compare_tile<U, Eq>);
    set(table, Op::ne, type, compare_tile<U, Ne>);
    set(table, Op::fma, type, ternary_tile<U, MulAdd>);
    set(table, Op::shl, type, binary_tile<U, Shl>);
  }
  const auto both = [&]<class Unsigned, class Signed>(Op op, Unsigned u, Signed s) {
    set(table, op, dtype_of<U>, u);
    set(table, op, dtype_of<S>, s);
  };
  both(Op::abs, unary_tile<U, Same>, unary_tile<S, AbsSigned>);
  both(Op::sign, unary_tile<U, SignUnsigned>, unary_tile<S, SignSigned>);
  both(Op::max, binary_tile<U, Max>, binary_tile<S, Max>);
  both(Op::min, binary_tile<U, Min>, binary_tile<S, Min>);
  both(Op::lt, compare_tile<U, Lt>, compare_tile<S, Lt>);
  both(Op::le, compare_tile<U, Le>, compare_tile<S, Le>);
  both(Op::gt, compare_tile<U, Gt>, compare_tile<S, Gt>);
  both(Op::ge, compare_tile<U, Ge>, compare_tile<S, Ge>);
  both(Op::shr, binary_tile<U, Shr>, binary_tile<S, Shr>);
  both(Op::floor_div, binary_tile<U, FloorDiv>, binary_tile<S, FloorDiv>);
  both(Op::rem, binary_tile<U, Rem>, binary_tile<S, Rem>);
  both(Op::pow, binary_tile<U, Pow>, binary_tile<S, Pow>);
}

void add_bool(TileKernels& table) {
  using U = uint8_t;
  const auto put = [&](Op op, TileFn fn) { set(table, op, DType::bool_, fn); };
  constexpr Op kSame[] = {Op::neg, Op::abs, Op::sign, Op::floor, Op::ceil, Op::trunc, Op::rint};
  constexpr Op kOr[] = {Op::add, Op::max, Op::bit_or};
  constexpr Op kAnd[] = {Op::mul, Op::min, Op::bit_and};
  constexpr Op kXor[] = {Op::sub, Op::bit_xor};
  for (const Op op : kSame) put(op, unary_tile<U, Same>);
  put(Op::bit_not, unary_tile<U, LogicalNot>);
  put(Op::is_nan, test_tile<U, Never>);
  put(Op::is_inf, test_tile<U, Never>);
  put(Op::is_finite, test_tile<U, Always>);
  for (const Op op : kOr) put(op, binary_tile<U, Or>);
  for (const Op op : kAnd) put(op, binary_tile<U, And>);
  for (const Op op : kXor) put(op, binary_tile<U, Xor>);
  put(Op::pow, binary_tile<U, PowBool>);
  put(Op::eq, compare_tile<U, Eq>);
  put(Op::ne, compare_tile<U, Ne>);
  put(Op::lt, compare_tile<U, Lt>);
  put(Op::le, compare_tile<U, Le>);
  put(Op::gt, compare_tile<U, Gt>);
  put(Op::ge, compare_tile<U, Ge>);
}

}  // namespace

void add_integer_kernels(TileKernels& table) {
  add_bool(table);
  add_width<uint8_t>(table);
  add_width<uint16_t>(table);
  add_width<uint32_t>(table);
  add_width<uint64_t>(table);
}

}  // namespace plait::cpu::PLAIT_TARGET
