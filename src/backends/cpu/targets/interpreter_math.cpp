// Transcendental functions of floats.
#include "backends/cpu/simd/math.h"
#include "backends/cpu/simd/power.h"
#include "backends/cpu/targets/tile_loops.h"

namespace plait::cpu::PLAIT_TARGET {
namespace {

using ir::Op;

PLAIT_TILE_FN1(Exp, exp(a))
PLAIT_TILE_FN1(Exp2, exp2(a))
PLAIT_TILE_FN1(Expm1, expm1(a))
PLAIT_TILE_FN1(Log, log(a))
PLAIT_TILE_FN1(Log2, log2(a))
PLAIT_TILE_FN1(Log10, log10(a))
PLAIT_TILE_FN1(Log1p, log1p(a))
PLAIT_TILE_FN1(Sin, sin(a))
PLAIT_TILE_FN1(Cos, cos(a))
PLAIT_TILE_FN1(Tan, tan(a))
PLAIT_TILE_FN1(Asin, asin(a))
PLAIT_TILE_FN1(Acos, acos(a))
PLAIT_TILE_FN1(Atan, atan(a))
PLAIT_TILE_FN1(Sinh, sinh(a))
PLAIT_TILE_FN1(Cosh, cosh(a))
PLAIT_TILE_FN1(Tanh, tanh(a))
PLAIT_TILE_FN1(Asinh, asinh(a))
PLAIT_TILE_FN1(Acosh, acosh(a))
PLAIT_TILE_FN1(Atanh, atanh(a))
PLAIT_TILE_FN1(Erf, erf(a))
PLAIT_TILE_FN1(Erfinv, erfinv(a))
PLAIT_TILE_FN2(Pow, pow(a, b))
PLAIT_TILE_FN2(Atan2, atan2(a, b))

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
