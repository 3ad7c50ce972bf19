// Arithmetic, comparison and selection of floats.
#include "backends/cpu/targets/tile_loops.h"

namespace plait::cpu::PLAIT_TARGET {
namespace {

using ir::Op;

PLAIT_TILE_FN1(Neg, -a)
PLAIT_TILE_FN1(Abs, abs(a))
PLAIT_TILE_FN1(Sign, select(a == a, select(a > 0, splat<V>(1), select(a < 0, splat<V>(-1), V{})), a))
PLAIT_TILE_FN1(Floor, floor(a))
PLAIT_TILE_FN1(Ceil, ceil(a))
PLAIT_TILE_FN1(Trunc, trunc(a))
PLAIT_TILE_FN1(Rint, round_even(a))
PLAIT_TILE_FN1(Sqrt, sqrt(a))
PLAIT_TILE_FN1(Rsqrt, splat<V>(1) / sqrt(a))
PLAIT_TILE_FN1(IsNan, a != a)
PLAIT_TILE_FN1(IsInf, abs(a) == kInfinity<V>)
PLAIT_TILE_FN1(IsFinite, abs(a) < kInfinity<V>)
PLAIT_TILE_FN2(Add, a + b)
PLAIT_TILE_FN2(Sub, a - b)
PLAIT_TILE_FN2(Mul, a* b)
PLAIT_TILE_FN2(Div, a / b)
PLAIT_TILE_FN2(FloorDiv, floor(a / b))
PLAIT_TILE_FN2(Max, max(a, b))
PLAIT_TILE_FN2(Min, min(a, b))
PLAIT_TILE_FN2(Eq, a == b)
PLAIT_TILE_FN2(Ne, a != b)
PLAIT_TILE_FN2(Lt, a < b)
PLAIT_TILE_FN2(Le, a <= b)
PLAIT_TILE_FN2(Gt, a > b)
PLAIT_TILE_FN2(Ge, a >= b)

struct Fma {
  template <class V>
  PLAIT_SIMD V apply(V a, V b, V c) {
    return fma(a, b, c);
  }
};

struct Rem {
  template <class V>
  PLAIT_SIMD V apply(V a, V b) {
    using T = LaneOf<V>;
    // Where the quotient is small, trunc(a / b) is right or off by one, and a - q b is exact with one rounding.
    if constexpr (kFusedMultiplyAdd) {
      const V q = trunc(a / b);
      const V size_a = abs(a), size_b = abs(b);
      // a / b that rounds up to an integer leaves a remainder of the wrong sign; one step mends it.
      if (all((size_a < size_b * static_cast<T>(sizeof(T) == 4 ? 1 << 20 : int64_t{1} << 50)) &
              (size_b < kInfinity<V>)&(size_b > static_cast<T>(sizeof(T) == 4 ? 1e-30 : 1e-280)))) {
        V r = fma(-q, b, a);
        r = select((r != 0) & ((r < 0) != (a < 0)), r + copysign(size_b, a), r);
        r = select(abs(r) >= size_b, r - copysign(size_b, a), r);
        r = select(r == 0, copysign(V{}, a), r);
        return select((r != 0) & ((r < 0) != (b < 0)), r + b, r);
      }
    }
    for (int i = 0; i < kLanesOf<V>; ++i) {
      const T x = a[i], y = b[i];
      T r = sizeof(T) == 4 ? static_cast<T>(__builtin_fmodf(x, y)) : static_cast<T>(__builtin_fmod(x, y));
      if (r != 0 && (r < 0) != (y < 0)) r += y;
      a[i] = r;
    }
    return a;
  }
};

template <class T>
void add_type(TileKernels& table) {
  const auto set = [&](Op op, TileFn fn) { table.compute[static_cast<int>(op)][static_cast<int>(dtype_of<T>)] = fn; };
  set(Op::neg, unary_tile<T, Neg>);
  set(Op::abs, unary_tile<T, Abs>);
  set(Op::sign, unary_tile<T, Sign>);
  set(Op::floor, unary_tile<T, Floor>);
  set(Op::ceil, unary_tile<T, Ceil>);
  set(Op::trunc, unary_tile<T, Trunc>);
  set(Op::rint, unary_tile<T, Rint>);
  set(Op::sqrt, unary_tile<T, Sqrt>);
  set(Op::rsqrt, unary_tile<T, Rsqrt>);
  set(Op::is_nan, test_tile<T, IsNan>);
  set(Op::is_inf, test_tile<T, IsInf>);
  set(Op::is_finite, test_tile<T, IsFinite>);
  set(Op::add, binary_tile<T, Add>);
  set(Op::sub, binary_tile<T, Sub>);
  set(Op::mul, binary_tile<T, Mul>);
  set(Op::div, binary_tile<T, Div>);
  set(Op::floor_div, binary_tile<T, FloorDiv>);
  set(Op::rem, binary_tile<T, Rem>);
  set(Op::max, binary_tile<T, Max>);
  set(Op::min, binary_tile<T, Min>);
  set(Op::eq, compare_tile<T, Eq>);
  set(Op::ne, compare_tile<T, Ne>);
  set(Op::lt, compare_tile<T, Lt>);
  set(Op::le, compare_tile<T, Le>);
  set(Op::gt, compare_tile<T, Gt>);
  set(Op::ge, compare_tile<T, Ge>);
  set(Op::fma, ternary_tile<T, Fma>);
}

}  // namespace

void add_float_kernels(TileKernels& table) {
  add_type<float>(table);
  add_type<double>(table);
  // Selection moves bits.
  const TileFn selects[] = {select_tile<uint8_t>, select_tile<uint16_t>, select_tile<uint32_t>, select_tile<uint64_t>};
  for (int d = 0; d < kDTypeCount; ++d) table.compute[static_cast<int>(Op::select)][d] = selects[kLogWidth[d]];
}

}  // namespace plait::cpu::PLAIT_TARGET
