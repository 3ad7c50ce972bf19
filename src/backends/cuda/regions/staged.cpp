#include "backends/cuda/regions/staged.h"

#include <algorithm>
#include <bit>

#include "plait/error.h"

namespace plait::cuda {

using ir::Level;
using ir::Op;

int operands_of(const ir::Inst& inst, uint32_t (&ids)[3]) {
  ids[0] = inst.a, ids[1] = inst.b, ids[2] = inst.c;
  return ir::operand_count(inst.op);
}

Staged::Staged(RegionProgram p) : program(std::move(p)) {
  auto& code = program.code;
  if (!has_row()) {
    for (ir::Inst& inst : code)
      if (inst.level == Level::outer) inst.level = Level::row;
    for (auto& input : program.inputs)
      if (input.level == Level::outer) input.level = Level::row;
  }
  for (size_t k = 0; k < program.outputs.size(); ++k) {
    auto& out = program.outputs[k];
    out.level = !has_row() ? Level::row : std::max(out.level, Level::outer);
    (out.level == Level::row ? row_outputs : outer_outputs).push_back(static_cast<int>(k));
  }

  pass.assign(code.size(), 0);
  slot_of.assign(code.size(), -1);
  std::vector<char> live(code.size(), 0);
  for (const auto& out : program.outputs) live[out.value] = 1;
  for (size_t i = code.size(); i-- > 0;) {
    uint32_t ids[3];
    for (int k = live[i] ? operands_of(code[i], ids) : 0; k-- > 0;) live[ids[k]] = 1;
  }
  for (size_t i = 0; i < code.size(); ++i) {
    uint32_t ids[3];
    for (int k = operands_of(code[i], ids); k-- > 0;) pass[i] = std::max(pass[i], pass[ids[k]]);
    if (ir::is_reduction(code[i].op)) {
      check_internal(has_row(), "CUDA region: a reduction without a row");
      ++pass[i];
      if (live[i]) passes = std::max(passes, pass[i]);
    }
  }
  for (int p = 0; p < passes; ++p) {
    first_slot.push_back(static_cast<int>(reductions.size()));
    for (size_t i = 0; i < code.size(); ++i) {
      if (!live[i] || !ir::is_reduction(code[i].op) || pass[i] != p + 1) continue;
      slot_of[i] = static_cast<int>(reductions.size());
      reductions.push_back(static_cast<uint32_t>(i));
    }
  }
  first_slot.push_back(static_cast<int>(reductions.size()));
  narrow = narrow_exponentials();
}

bool Staged::holds(uint32_t id, DType half) const {
  const ir::Inst& inst = program.code[id];
  const auto index = static_cast<size_t>(inst.index);
  if (inst.type != DType::float32) return false;
  switch (inst.op) {
    case Op::input: return program.inputs[index].dtype == half;
    case Op::scalar: return program.scalars[index] == half;
    case Op::round_f16: return half == DType::float16;
    case Op::round_bf16: return half == DType::bfloat16;
    case Op::constant: {
      const float x = std::bit_cast<float>(static_cast<uint32_t>(inst.imm.bits));
      return half == DType::float16 ? static_cast<float>(float16_t::from(x)) == x
                                    : static_cast<float>(bfloat16_t::from(x)) == x;
    }
    case Op::reduce_max:
    case Op::reduce_min:
    case Op::neg:
    case Op::abs: return holds(inst.a, half);
    case Op::max:
    case Op::min: return holds(inst.a, half) && holds(inst.b, half);
    case Op::convert: return program.code[inst.a].type == inst.type && holds(inst.a, half);
    default: return false;
  }
}

/// Exponentials whose every use is a rounding to the type of their operand.
std::vector<char> Staged::narrow_exponentials() const {
  const auto& code = program.code;
  std::vector<char> narrow(code.size(), 0);
  for (const DType half : {DType::float16, DType::bfloat16}) {
    std::vector<char> wide(code.size(), 0);
    for (const ir::Inst& inst : code) {
      uint32_t ids[3];
      const bool rounds = inst.op == (half == DType::float16 ? Op::round_f16 : Op::round_bf16);
      for (int k = operands_of(inst, ids); k-- > 0;) wide[ids[k]] |= !rounds;
    }
    for (const auto& out : program.outputs) wide[out.value] |= out.dtype != half;
    for (size_t i = 0; i < code.size(); ++i)
      narrow[i] |= code[i].op == Op::exp && code[i].type == DType::float32 && !wide[i] && holds(code[i].a, half);
  }
  return narrow;
}

DType Staged::operand_dtype(int k) const {
  const auto inputs = static_cast<int>(program.inputs.size());
  return k < inputs ? program.inputs[static_cast<size_t>(k)].dtype
                    : program.outputs[static_cast<size_t>(k - inputs)].dtype;
}

std::vector<uint32_t> Staged::needed(const std::vector<uint32_t>& targets) const {
  std::vector<char> in(program.code.size(), 0);
  for (uint32_t id : targets) in[id] = 1;
  for (size_t i = program.code.size(); i-- > 0;) {
    if (!in[i] || ir::is_reduction(program.code[i].op)) continue;
    uint32_t ids[3];
    for (int k = operands_of(program.code[i], ids); k-- > 0;) in[ids[k]] = 1;
  }
  std::vector<uint32_t> ids;
  for (size_t i = 0; i < in.size(); ++i)
    if (in[i]) ids.push_back(static_cast<uint32_t>(i));
  return ids;
}

std::vector<uint32_t> Staged::operands_of_pass(int p) const {
  std::vector<uint32_t> ids;
  for (int slot = first_slot[static_cast<size_t>(p)]; slot < first_slot[static_cast<size_t>(p) + 1]; ++slot)
    ids.push_back(program.code[reductions[static_cast<size_t>(slot)]].a);
  return ids;
}

std::vector<uint32_t> Staged::needed_in(int p) const {
  return needed(p == passes ? values_of(row_outputs) : operands_of_pass(p));
}

int Staged::most_reductions() const {
  int most = 1;
  for (size_t p = 0; p < static_cast<size_t>(passes); ++p) most = std::max(most, first_slot[p + 1] - first_slot[p]);
  return most;
}

std::vector<uint32_t> Staged::values_of(const std::vector<int>& outputs) const {
  std::vector<uint32_t> ids;
  for (int k : outputs) ids.push_back(program.outputs[static_cast<size_t>(k)].value);
  return ids;
}

}  // namespace plait::cuda
