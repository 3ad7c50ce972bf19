// From a region's program to steps of the register machine.
#include <map>

#include "backends/cuda/regions/tier0.h"
#include "plait/error.h"

namespace plait::cuda {
namespace {

using ir::Level;
using ir::Op;

class Assembler {
 public:
  Assembler(const Staged& staged, std::vector<uint64_t>& constants) : staged_(staged), constants_(constants) {}

  /// The steps that make `targets`, then accumulate or store.
  StepProgram write(const std::vector<uint32_t>& targets, int first_slot, int last_slot,
                    const std::vector<int>& outputs, Level level) {
    const auto ids = staged_.needed(targets);
    last_use_.assign(staged_.program.code.size(), -1);
    int at = 0;
    for (uint32_t id : ids) {
      uint32_t operands[3];
      const bool leaf = ir::is_reduction(inst(id).op);
      for (int k = leaf ? 0 : operands_of(inst(id), operands); k-- > 0;) last_use_[operands[k]] = at;
      ++at;
    }
    for (uint32_t id : targets) last_use_[id] = at;

    at = 0;
    for (uint32_t id : ids) {
      value(id);
      free_after(id, at++);
    }
    for (int slot = first_slot; slot < last_slot; ++slot) accumulate(slot, slot - first_slot);
    for (int k : outputs) store(k, level);
    check_internal(out_.slots < 0xffff, "CUDA tier 0: a program needs too many registers");
    return std::move(out_);
  }

 private:
  const ir::Inst& inst(uint32_t id) const { return staged_.program.code[id]; }
  std::vector<Step>& steps(Level level) {
    return level == Level::scalar ? out_.once : level == Level::outer ? out_.row : out_.elements;
  }
  int new_slots(int count) {
    out_.slots += count;
    return out_.slots - count;
  }
  int slot_for(Level level) {
    if (level != Level::row) return new_slots(1);
    if (free_.empty()) return new_slots(kStepLanes);
    const int slot = free_.back();
    free_.pop_back();
    return slot;
  }
  /// Registers of element values whose last use this was.
  void free_after(uint32_t id, int at) {
    uint32_t operands[3];
    const int count = ir::is_reduction(inst(id).op) ? 0 : operands_of(inst(id), operands);
    for (int k = 0; k < count; ++k) {
      const uint32_t operand = operands[k];
      if (inst(operand).level != Level::row || last_use_[operand] != at) continue;
      free_.push_back(slot_[operand]);
      last_use_[operand] = -1;  // an operand used twice is freed once
    }
  }

  /// The slot with the place where operand k's row begins.
  int base(int k) {
    const auto [it, is_new] = bases_.try_emplace(k, 0);
    if (is_new) {
      it->second = new_slots(1);
      Step s{};
      s.op = kStepBase, s.dst = static_cast<uint16_t>(it->second), s.count = 1, s.index = static_cast<uint16_t>(k);
      out_.row.push_back(s);
    }
    return it->second;
  }

  void value(uint32_t id) {
    const ir::Inst& i = inst(id);
    Step s{};
    s.op = staged_.narrow[id] ? uint16_t{kStepExpNarrow} : static_cast<uint16_t>(i.op);
    s.from = s.to = static_cast<uint8_t>(i.type);
    s.index = static_cast<uint16_t>(i.index);
    s.count = i.level == Level::row ? kStepLanes : 1;
    if (staged_.slot_of[id] >= 0) {
      s.op = kStepResult, s.count = 1;
      s.index = static_cast<uint16_t>(staged_.slot_of[id]);
    } else if (i.op == Op::input) {
      s.from = static_cast<uint8_t>(staged_.program.inputs[static_cast<size_t>(i.index)].dtype);
      if (i.level == Level::scalar)
        s.b = 1;  // at the operand itself
      else
        s.a = static_cast<uint16_t>(base(static_cast<int>(i.index)));
    } else if (i.op == Op::scalar) {
      s.from = static_cast<uint8_t>(staged_.program.scalars[static_cast<size_t>(i.index)]);
    } else if (i.op == Op::constant) {
      s.index = static_cast<uint16_t>(constants_.size());
      constants_.push_back(i.imm.bits);
    } else {
      uint32_t operands[3];
      uint16_t* const to[3] = {&s.a, &s.b, &s.c};
      const int count = operands_of(i, operands);
      for (int k = 0; k < count; ++k) {
        *to[k] = static_cast<uint16_t>(slot_.at(operands[k]));
        if (inst(operands[k]).level == Level::row) s.advance |= static_cast<uint8_t>(1 << k);
      }
      s.from = static_cast<uint8_t>(inst(operands[i.op == Op::select ? 1 : 0]).type);
    }
    slot_[id] = slot_for(i.level);
    s.dst = static_cast<uint16_t>(slot_[id]);
    steps(i.level).push_back(s);
  }

  void accumulate(int slot, int place) {
    const ir::Inst& r = inst(staged_.reductions[static_cast<size_t>(slot)]);
    const int lanes = new_slots(kLanesOfChunk / 32);
    Step s{};
    s.op = kStepAccumulate;
    s.from = s.to = static_cast<uint8_t>(r.type);
    s.dst = static_cast<uint16_t>(lanes);
    s.a = static_cast<uint16_t>(slot_.at(r.a));
    s.advance = inst(r.a).level == Level::row;
    s.count = kStepLanes;
    s.index = static_cast<uint16_t>(r.op);
    out_.elements.push_back(s);
    out_.reductions.push_back({static_cast<uint16_t>(r.op), static_cast<uint16_t>(r.type), static_cast<uint16_t>(lanes),
                               static_cast<uint16_t>(place)});
  }

  void store(int k, Level level) {
    const auto& out = staged_.program.outputs[static_cast<size_t>(k)];
    Step s{};
    s.op = kStepStore;
    s.to = static_cast<uint8_t>(out.dtype);
    s.a = static_cast<uint16_t>(slot_.at(out.value));
    s.advance = inst(out.value).level == Level::row;
    s.b = static_cast<uint16_t>(base(staged_.output_operand(k)));
    s.count = level == Level::row ? kStepLanes : 1;
    s.index = static_cast<uint16_t>(staged_.output_operand(k));
    out_.elements.push_back(s);
  }

  const Staged& staged_;
  std::vector<uint64_t>& constants_;
  StepProgram out_;
  std::map<uint32_t, int> slot_;
  std::map<int, int> bases_;
  std::vector<int> last_use_, free_;
};

}  // namespace

Tier0Programs::Tier0Programs(const Staged& staged) {
  for (int p = 0; p < staged.passes; ++p)
    passes.push_back(Assembler(staged, constants)
                         .write(staged.operands_of_pass(p), staged.first_slot[static_cast<size_t>(p)],
                                staged.first_slot[static_cast<size_t>(p) + 1], {}, Level::row));
  row_outputs =
      Assembler(staged, constants).write(staged.values_of(staged.row_outputs), 0, 0, staged.row_outputs, Level::row);
  outer_outputs = Assembler(staged, constants)
                      .write(staged.values_of(staged.outer_outputs), 0, 0, staged.outer_outputs, Level::outer);
}

}  // namespace plait::cuda
