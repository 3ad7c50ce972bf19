#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "plait/dtype.h"
#include "plait/export.h"
#include "plait/scalar.h"

/// Kernel IR: a small typed SSA language that every tier of every device executes. Elementwise ops are formulas in it;
/// a region of the graph is one program (backends/region.h).
namespace plait::ir {

/// Types of values: every DType except the 16-bit floats. Those are held as float32 that was rounded (round_f16,
/// round_bf16) after each op of the graph, so that fusing never changes a result.
using Type = DType;

enum class Op : uint8_t {
  // leaves
  input,     // the k-th input of the program (imm.i = k); 16-bit inputs arrive as float32
  scalar,    // the k-th bound scalar (imm.i = k): an operand of the plan, so a new value never makes a new plan
  constant,  // imm, fixed in the program
  // one operand
  convert,  // to `type`; float to integer truncates and wraps as two's complement, to bool is != 0
  round_f16,
  round_bf16,  // float32 rounded to what the 16-bit type can hold, still float32
  neg,
  abs,
  sign,
  floor,
  ceil,
  trunc,
  rint,  // to nearest, ties to even
  sqrt,
  rsqrt,
  exp,
  exp2,
  expm1,
  log,
  log2,
  log10,
  log1p,
  sin,
  cos,
  tan,
  asin,
  acos,
  atan,
  sinh,
  cosh,
  tanh,
  asinh,
  acosh,
  atanh,
  erf,
  erfinv,
  bit_not,      // integers; logical not for bool
  is_nan,       // -> bool
  is_inf,       // -> bool
  is_finite,    // -> bool
  bitcast,      // to `type` of the same width
  real,         // complex64 -> float32
  imag,         // complex64 -> float32
  conj,         // complex64
  // two operands of one type
  add,
  sub,
  mul,
  div,        // floats and complex; integers are converted before
  floor_div,  // rounds to minus infinity; integer division by zero gives 0
  rem,        // sign of the divisor; integer remainder by zero gives 0
  pow,
  max,  // NaN wins
  min,
  atan2,
  bit_and,  // logical for bool
  bit_or,
  bit_xor,
  shl,
  shr,
  eq,  // comparisons -> bool
  ne,
  lt,
  le,
  gt,
  ge,
  complex,  // (re, im) float32 -> complex64
  // three operands
  select,  // (bool, x, y)
  fma,     // a * b + c, one rounding where the machine has it; tiers of one device agree
  // reductions over the row of a region; the result has the outer level
  reduce_sum,
  reduce_prod,
  reduce_max,  // NaN wins
  reduce_min,
  count_,
};

PLAIT_API std::string_view name_of(Op op);
PLAIT_API int operand_count(Op op);
PLAIT_API bool is_reduction(Op op);
bool is_comparison(Op op);

/// How often a value exists in a region: once, once per row, or once per element.
enum class Level : uint8_t { scalar, outer, row };

struct Inst {
  Op op = Op::constant;
  Type type = DType::float32;  // of the result
  Level level = Level::row;
  uint32_t a = 0, b = 0, c = 0;  // operands: positions of earlier instructions
  int64_t index = 0;             // input, scalar: which
  ScalarBits imm = {};           // constant: bits of one element of `type`
};

using Program = std::vector<Inst>;

/// One instruction a line: "%3 = mul.f32 %1 %2 ; row".
std::string to_string(const Program& program);

class Builder;

/// A value while a formula is written. Numbers mix with values and take their type.
struct Val {
  Builder* builder = nullptr;
  uint32_t id = 0;
  Type type() const;
};

/// Appends instructions; equal ones are shared (common subexpressions inside a region disappear here), inputs always.
class Builder {
 public:
  Val input(int64_t k, Type type, Level level);
  Val scalar(int64_t k, Type type);
  Val constant(Scalar value, Type type);
  Val unary(Op op, Val a);
  Val unary_to(Op op, Val a, Type type);
  Val binary(Op op, Val a, Val b);
  Val select(Val condition, Val x, Val y);
  Val fma(Val a, Val b, Val c);
  Val convert(Val a, Type type);
  Val reduce(Op op, Val a);
  /// The value at a level that is at least its own.
  Val spread(Val a, Level level);
  /// The value as the graph's dtype sees it: rounded for 16-bit floats, unchanged otherwise.
  Val rounded(Val a, DType dtype);

  const Program& program() const { return program_; }
  Program take() { return std::move(program_); }
  const Inst& at(uint32_t id) const { return program_[id]; }

 private:
  Val push(Inst inst);
  Program program_;
  std::vector<int64_t> inputs_;  // where each is read, or -1
};

/// The type that computes for a dtype: float32 for the 16-bit floats, else the dtype itself.
constexpr Type compute_type(DType d) { return is_half(d) ? DType::float32 : d; }

// The language of formulas. A number takes the type of the value beside it.
#define PLAIT_IR_BINARY(symbol, op)                                                                 \
  inline Val operator symbol(Val a, Val b) { return a.builder->binary(Op::op, a, b); }              \
  inline Val operator symbol(Val a, Scalar b) { return a symbol a.builder->constant(b, a.type()); } \
  inline Val operator symbol(Scalar a, Val b) { return b.builder->constant(a, b.type()) symbol b; }
PLAIT_IR_BINARY(+, add)
PLAIT_IR_BINARY(-, sub)
PLAIT_IR_BINARY(*, mul)
PLAIT_IR_BINARY(/, div)
PLAIT_IR_BINARY(==, eq)
PLAIT_IR_BINARY(!=, ne)
PLAIT_IR_BINARY(<, lt)
PLAIT_IR_BINARY(<=, le)
PLAIT_IR_BINARY(>, gt)
PLAIT_IR_BINARY(>=, ge)
PLAIT_IR_BINARY(&, bit_and)
PLAIT_IR_BINARY(|, bit_or)
#undef PLAIT_IR_BINARY
#define PLAIT_IR_UNARY(name, op) \
  inline Val name(Val a) { return a.builder->unary(Op::op, a); }
PLAIT_IR_UNARY(operator-, neg)
PLAIT_IR_UNARY(abs, abs)
PLAIT_IR_UNARY(sign, sign)
PLAIT_IR_UNARY(floor, floor)
PLAIT_IR_UNARY(ceil, ceil)
PLAIT_IR_UNARY(trunc, trunc)
PLAIT_IR_UNARY(rint, rint)
PLAIT_IR_UNARY(sqrt, sqrt)
PLAIT_IR_UNARY(rsqrt, rsqrt)
PLAIT_IR_UNARY(exp, exp)
PLAIT_IR_UNARY(exp2, exp2)
PLAIT_IR_UNARY(expm1, expm1)
PLAIT_IR_UNARY(log, log)
PLAIT_IR_UNARY(log2, log2)
PLAIT_IR_UNARY(log10, log10)
PLAIT_IR_UNARY(log1p, log1p)
PLAIT_IR_UNARY(sin, sin)
PLAIT_IR_UNARY(cos, cos)
PLAIT_IR_UNARY(tan, tan)
PLAIT_IR_UNARY(asin, asin)
PLAIT_IR_UNARY(acos, acos)
PLAIT_IR_UNARY(atan, atan)
PLAIT_IR_UNARY(sinh, sinh)
PLAIT_IR_UNARY(cosh, cosh)
PLAIT_IR_UNARY(tanh, tanh)
PLAIT_IR_UNARY(asinh, asinh)
PLAIT_IR_UNARY(acosh, acosh)
PLAIT_IR_UNARY(atanh, atanh)
PLAIT_IR_UNARY(erf, erf)
PLAIT_IR_UNARY(erfinv, erfinv)
PLAIT_IR_UNARY(bit_not, bit_not)
PLAIT_IR_UNARY(is_nan, is_nan)
PLAIT_IR_UNARY(is_inf, is_inf)
PLAIT_IR_UNARY(is_finite, is_finite)
PLAIT_IR_UNARY(real, real)
PLAIT_IR_UNARY(imag, imag)
PLAIT_IR_UNARY(conj, conj)
#undef PLAIT_IR_UNARY
#define PLAIT_IR_FUNCTION(name, op) \
  inline Val name(Val a, Val b) { return a.builder->binary(Op::op, a, b); }
PLAIT_IR_FUNCTION(max, max)
PLAIT_IR_FUNCTION(min, min)
PLAIT_IR_FUNCTION(pow, pow)
PLAIT_IR_FUNCTION(atan2, atan2)
PLAIT_IR_FUNCTION(floor_div, floor_div)
PLAIT_IR_FUNCTION(rem, rem)
PLAIT_IR_FUNCTION(shl, shl)
PLAIT_IR_FUNCTION(shr, shr)
PLAIT_IR_FUNCTION(bit_xor, bit_xor)
#undef PLAIT_IR_FUNCTION
inline Val select(Val condition, Val x, Val y) { return condition.builder->select(condition, x, y); }
inline Val fma(Val a, Val b, Val c) { return a.builder->fma(a, b, c); }

}  // namespace plait::ir
