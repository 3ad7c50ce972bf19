// Transcendental functions of floats.
#include <math.h>

#include "backends/cpu/targets/tile_loops.h"

namespace plait::cpu {
double erfinv_lane(double x);
}

namespace plait::cpu::PLAIT_TARGET {
namespace {

using ir::Op;

// One call of libm per lane.
#define PLAIT_LIBM1(Name, function)                                                                               \
  struct Name {                                                                                                   \
    template <class V>                                                                                            \
    PLAIT_SIMD V apply(V a) {                                                                                     \
      using T = LaneOf<V>;                                                                                        \
      return by_lane<T>(a, [](T x) { return sizeof(T) == 4 ? static_cast<T>(::function##f(x)) : static_cast<T>(::function(x)); }); \
    }                                                                                                             \
  };
#define PLAIT_LIBM2(Name, function)                                                                               \
  struct Name {                                                                                                   \
    template <class V>                                                                                            \
    PLAIT_SIMD V apply(V a, V b) {                                                                                \
      using T = LaneOf<V>;                                                                                        \
      return by_lane<T>(a, b, [](T x, T y) { return sizeof(T) == 4 ? static_cast<T>(::function##f(x, y)) : static_cast<T>(::function(x, y)); }); \
    }                                                                                                             \
  };
PLAIT_LIBM1(Exp, exp)
PLAIT_LIBM1(Exp2, exp2)
PLAIT_LIBM1(Expm1, expm1)
PLAIT_LIBM1(Log, log)
PLAIT_LIBM1(Log2, log2)
PLAIT_LIBM1(Log10, log10)
PLAIT_LIBM1(Log1p, log1p)
PLAIT_LIBM1(Sin, sin)
PLAIT_LIBM1(Cos, cos)
PLAIT_LIBM1(Tan, tan)
PLAIT_LIBM1(Asin, asin)
PLAIT_LIBM1(Acos, acos)
PLAIT_LIBM1(Atan, atan)
PLAIT_LIBM1(Sinh, sinh)
PLAIT_LIBM1(Cosh, cosh)
PLAIT_LIBM1(Tanh, tanh)
PLAIT_LIBM1(Asinh, asinh)
PLAIT_LIBM1(Acosh, acosh)
PLAIT_LIBM1(Atanh, atanh)
PLAIT_LIBM1(Erf, erf)
PLAIT_LIBM2(Pow, pow)
PLAIT_LIBM2(Atan2, atan2)

struct Erfinv {
  template <class V>
  PLAIT_SIMD V apply(V a) {
    using T = LaneOf<V>;
    return by_lane<T>(a, [](T x) { return static_cast<T>(erfinv_lane(x)); });
  }
};

template <class T>
void add_type(TileKernels& table) {
  const auto set = [&](Op op, TileFn fn) { table.compute[static_cast<int>(op)][static_cast<int>(dtype_of<T>)] = fn; };
  set(Op::exp, unary_tile<T, Exp>);
  set(Op::exp2, unary_tile<T, Exp2>);
  set(Op::expm1, unary_tile<T, Expm1>);
  set(Op::log, unary_tile<T, Log>);
  set(Op::log2, unary_tile<T, Log2>);
  set(Op::log10, unary_tile<T, Log10>);
  set(Op::log1p, unary_tile<T, Log1p>);
  set(Op::sin, unary_tile<T, Sin>);
  set(Op::cos, unary_tile<T, Cos>);
  set(Op::tan, unary_tile<T, Tan>);
  set(Op::asin, unary_tile<T, Asin>);
  set(Op::acos, unary_tile<T, Acos>);
  set(Op::atan, unary_tile<T, Atan>);
  set(Op::sinh, unary_tile<T, Sinh>);
  set(Op::cosh, unary_tile<T, Cosh>);
  set(Op::tanh, unary_tile<T, Tanh>);
  set(Op::asinh, unary_tile<T, Asinh>);
  set(Op::acosh, unary_tile<T, Acosh>);
  set(Op::atanh, unary_tile<T, Atanh>);
  set(Op::erf, unary_tile<T, Erf>);
  set(Op::erfinv, unary_tile<T, Erfinv>);
  set(Op::pow, binary_tile<T, Pow>);
  set(Op::atan2, binary_tile<T, Atan2>);
}

}  // namespace

void add_math_kernels(TileKernels& table) {
  add_type<float>(table);
  add_type<double>(table);
}

}  // namespace plait::cpu::PLAIT_TARGET
