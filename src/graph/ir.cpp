#include "graph/ir.h"

#include <algorithm>
#include <array>
#include <cinttypes>
#include <cstdio>

#include "plait/error.h"

namespace plait::ir {
namespace {

struct OpInfo {
  std::string_view name;
  int operands;
};

// In the order of Op.
constexpr std::array<OpInfo, static_cast<size_t>(Op::count_)> kOps = {{
    {"input", 0},     {"scalar", 0}, {"constant", 0},   {"convert", 1},     {"round_f16", 1},  {"round_bf16", 1},
    {"neg", 1},       {"abs", 1},    {"sign", 1},       {"floor", 1},       {"ceil", 1},       {"trunc", 1},
    {"rint", 1},      {"sqrt", 1},   {"rsqrt", 1},      {"exp", 1},         {"exp2", 1},       {"expm1", 1},
    {"log", 1},       {"log2", 1},   {"log10", 1},      {"log1p", 1},       {"sin", 1},        {"cos", 1},
    {"tan", 1},       {"asin", 1},   {"acos", 1},       {"atan", 1},        {"sinh", 1},       {"cosh", 1},
    {"tanh", 1},      {"asinh", 1},  {"acosh", 1},      {"atanh", 1},       {"erf", 1},        {"erfinv", 1},
    {"bit_not", 1},   {"is_nan", 1}, {"is_inf", 1},     {"is_finite", 1},   {"bitcast", 1},    {"real", 1},
    {"imag", 1},      {"conj", 1},   {"add", 2},        {"sub", 2},         {"mul", 2},        {"div", 2},
    {"floor_div", 2}, {"rem", 2},    {"pow", 2},        {"max", 2},         {"min", 2},        {"atan2", 2},
    {"bit_and", 2},   {"bit_or", 2}, {"bit_xor", 2},    {"shl", 2},         {"shr", 2},        {"eq", 2},
    {"ne", 2},        {"lt", 2},     {"le", 2},         {"gt", 2},          {"ge", 2},         {"complex", 2},
    {"select", 3},    {"fma", 3},    {"reduce_sum", 1}, {"reduce_prod", 1}, {"reduce_max", 1}, {"reduce_min", 1},
}};
static_assert(kOps.back().operands == 1, "kOps lists every Op");

}  // namespace

std::string_view name_of(Op op) { return kOps[static_cast<size_t>(op)].name; }
int operand_count(Op op) { return kOps[static_cast<size_t>(op)].operands; }
bool is_reduction(Op op) { return op >= Op::reduce_sum && op < Op::count_; }
bool is_comparison(Op op) { return op >= Op::eq && op <= Op::ge; }

std::string to_string(const Program& program) {
  std::string text;
  for (size_t i = 0; i < program.size(); ++i) {
    const Inst& inst = program[i];
    text +=
        "%" + std::to_string(i) + " = " + std::string(name_of(inst.op)) + "." + std::string(plait::name_of(inst.type));
    const uint32_t operands[3] = {inst.a, inst.b, inst.c};
    for (int k = 0; k < operand_count(inst.op); ++k) text += " %" + std::to_string(operands[k]);
    if (inst.op == Op::input || inst.op == Op::scalar) text += " #" + std::to_string(inst.index);
    if (inst.op == Op::constant) {
      char bits[32];
      std::snprintf(bits, sizeof bits, " 0x%" PRIx64, inst.imm.bits);
      text += bits;
    }
    static constexpr const char* levels[] = {"scalar", "outer", "row"};
    text += std::string(" ; ") + levels[static_cast<int>(inst.level)] + "\n";
  }
  return text;
}

Type Val::type() const { return builder->at(id).type; }

Val Builder::push(Inst inst) {
  for (size_t i = program_.size(); i-- > 0;) {
    const Inst& p = program_[i];
    if (p.op == inst.op && p.type == inst.type && p.level == inst.level && p.a == inst.a && p.b == inst.b &&
        p.c == inst.c && p.index == inst.index && p.imm.bits == inst.imm.bits) {
      return {this, static_cast<uint32_t>(i)};
    }
    if (program_.size() - i > 64) break;  // programs are short; a longer look back costs more than it finds
  }
  program_.push_back(inst);
  return {this, static_cast<uint32_t>(program_.size() - 1)};
}

Val Builder::input(int64_t k, Type type, Level level) {
  const auto at = static_cast<size_t>(k);
  if (at >= inputs_.size()) inputs_.resize(at + 1, -1);
  if (inputs_[at] < 0) inputs_[at] = push({.op = Op::input, .type = compute_type(type), .level = level, .index = k}).id;
  return {this, static_cast<uint32_t>(inputs_[at])};
}
Val Builder::scalar(int64_t k, Type type) {
  return push({.op = Op::scalar, .type = compute_type(type), .level = Level::scalar, .index = k});
}
Val Builder::constant(Scalar value, Type type) {
  return push({.op = Op::constant, .type = type, .level = Level::scalar, .imm = ScalarBits::of(value, type)});
}

Val Builder::unary(Op op, Val a) {
  Type type = a.type();
  if (op == Op::is_nan || op == Op::is_inf || op == Op::is_finite) type = Type::bool_;
  if (op == Op::real || op == Op::imag || (op == Op::abs && type == Type::complex64)) type = Type::float32;
  return unary_to(op, a, type);
}
Val Builder::unary_to(Op op, Val a, Type type) {
  return push({.op = op, .type = type, .level = at(a.id).level, .a = a.id});
}
Val Builder::binary(Op op, Val a, Val b) {
  check_internal(a.type() == b.type(), "kernel IR: operands differ in type");
  Type type = a.type();
  if (is_comparison(op)) type = Type::bool_;
  if (op == Op::complex) type = Type::complex64;
  return push({.op = op, .type = type, .level = std::max(at(a.id).level, at(b.id).level), .a = a.id, .b = b.id});
}
Val Builder::select(Val condition, Val x, Val y) {
  check_internal(condition.type() == Type::bool_ && x.type() == y.type(), "kernel IR: select operands");
  const Level level = std::max(at(condition.id).level, std::max(at(x.id).level, at(y.id).level));
  return push({.op = Op::select, .type = x.type(), .level = level, .a = condition.id, .b = x.id, .c = y.id});
}
Val Builder::fma(Val a, Val b, Val c) {
  const Level level = std::max(at(a.id).level, std::max(at(b.id).level, at(c.id).level));
  return push({.op = Op::fma, .type = a.type(), .level = level, .a = a.id, .b = b.id, .c = c.id});
}
Val Builder::convert(Val a, Type type) { return a.type() == type ? a : unary_to(Op::convert, a, type); }
Val Builder::reduce(Op op, Val a) { return push({.op = op, .type = a.type(), .level = Level::outer, .a = a.id}); }
Val Builder::spread(Val a, Level level) {
  if (at(a.id).level >= level) return a;
  return push({.op = Op::convert, .type = a.type(), .level = level, .a = a.id});
}
Val Builder::rounded(Val a, DType dtype) {
  if (dtype == DType::float16) return unary(Op::round_f16, a);
  if (dtype == DType::bfloat16) return unary(Op::round_bf16, a);
  return a;
}

}  // namespace plait::ir
