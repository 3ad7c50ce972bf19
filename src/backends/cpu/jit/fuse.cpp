#include "backends/cpu/jit/fuse.h"

namespace plait::cpu::recorded {
void add_float_kernels(TileKernels& table);
void add_math_kernels(TileKernels& table);
}  // namespace plait::cpu::recorded

namespace plait::cpu::jit {

Tape*& recording() {
  thread_local Tape* tape = nullptr;
  return tape;
}

namespace {

using ir::Op;

/// The interpreter's formulas for recorded vectors.
const TileKernels& formulas() {
  static const TileKernels table = [] {
    TileKernels t;
    recorded::add_float_kernels(t);
    recorded::add_math_kernels(t);
    return t;
  }();
  return table;
}

int number(float x, Tape& tape) { return tape.constant(__builtin_bit_cast(uint32_t, x)); }

/// Rounded to what bfloat16 holds: as narrow_bf16 and widen_bf16 in simd/half.h.
int round_bf16(int x, Tape& tape) {
  const int odd = tape.add(Code::bit_and, tape.add(Code::shift_right, x, -1, -1, 16), tape.constant(1));
  const int rounded = tape.add(Code::int_add, tape.add(Code::int_add, x, tape.constant(0x7fff)), odd);
  const int nan = tape.add(Code::compare, x, x, -1, 0x04);
  const int bits = tape.add(Code::blend, nan, tape.add(Code::bit_or, x, tape.constant(0x400000)), rounded);
  return tape.add(Code::shift_left, tape.add(Code::shift_right, bits, -1, -1, 16), -1, -1, 16);
}

int converted(DType from, DType to, int x, Tape& tape) {
  if (from == to && (from == DType::float32 || from == DType::bool_)) return x;
  if (is_half(from) && to == DType::float32) return x;  // loads widen
  if (from == DType::float32 && is_half(to)) return x;  // stores narrow
  if (from == DType::bool_ && to == DType::float32) return tape.add(Code::blend, x, number(1, tape), number(0, tape));
  if (from == DType::float32 && to == DType::bool_) return tape.add(Code::compare, x, number(0, tape), -1, 0x04);
  return -1;
}

}  // namespace

int record(const Node& node, std::span<const DType> from, std::span<const int> operands, Tape& tape) {
  const int* const x = operands.data();
  if (node.op == Op::count_ || node.op == Op::convert) return converted(from[0], node.dtype, x[0], tape);
  if (node.op == Op::round_f16) return tape.add(Code::round_f16, x[0]);
  if (node.op == Op::round_bf16) return round_bf16(x[0], tape);
  if (node.dtype == DType::bool_ && from[0] == DType::bool_) {
    switch (node.op) {
      case Op::bit_and: return tape.add(Code::mask_and, x[0], x[1]);
      case Op::bit_or: return tape.add(Code::mask_or, x[0], x[1]);
      case Op::bit_xor: return tape.add(Code::mask_xor, x[0], x[1]);
      case Op::bit_not: return tape.add(Code::mask_not, x[0]);
      default: return -1;
    }
  }
  if (from[node.op == Op::select ? 1 : 0] != DType::float32) return -1;
  const TileFn formula = formulas().compute[static_cast<int>(node.op)][static_cast<int>(DType::float32)];
  if (!formula) return -1;
  int value = -1;
  const auto at = [&](size_t k) { return reinterpret_cast<const char*>(k < operands.size() ? &x[k] : x); };
  recording() = &tape;
  formula(reinterpret_cast<char*>(&value), at(0), at(1), at(2), 0, 1);
  recording() = nullptr;
  return tape.failed ? -1 : value;
}

int record_slot(int slot, DType dtype, bool uniform, Tape& tape) {
  const auto leaf = [&](Code code) { return tape.add(code, -1, -1, -1, 0, static_cast<uint32_t>(slot)); };
  switch (dtype) {
    case DType::float32: return leaf(uniform ? Code::uniform : Code::load_f32);
    case DType::bool_: return leaf(uniform ? Code::uniform_bool : Code::load_bool);
    case DType::float16: return uniform ? -1 : leaf(Code::load_f16);
    case DType::bfloat16: return uniform ? -1 : leaf(Code::load_bf16);
    default: return -1;
  }
}

int stored(int value, Tape& tape) {
  const Code code = tape.values[static_cast<size_t>(value)].code;
  if (!is_leaf(code)) return value;
  return gives_mask(code) ? tape.add(Code::mask_or, value, value) : tape.add(Code::copy, value);
}

bool may_join(const std::vector<Node>& nodes, const Node& node) {
  if (node.kind != Node::Kind::compute || node.level != ir::Level::row) return false;
  Tape tape;
  SmallVector<DType, 3> from;
  SmallVector<int, 3> operands;
  for (int id : node.operands) {
    if (id < 0) continue;
    from.push_back(nodes[id].dtype);
    operands.push_back(
        record_slot(static_cast<int>(operands.size()), from.back(), nodes[id].level != ir::Level::row, tape));
    if (operands.back() < 0) return false;
  }
  // Copies are better left to what moves memory.
  if (node.op == ir::Op::count_ && from[0] == node.dtype) return false;
  return record(node, {from.data(), from.size()}, {operands.data(), operands.size()}, tape) >= 0;
}

}  // namespace plait::cpu::jit
