// From a region's program to nodes, and from nodes to schedules.
#include "backends/cpu/interpreter.h"

#include <algorithm>
#include <cstring>
#include <map>
#include <string>

#include "backends/cpu/jit/assemble.h"
#include "backends/cpu/jit/fuse.h"
#include "plait/error.h"

namespace plait::cpu {
namespace {

using ir::Inst;
using ir::Level;
using ir::Op;

int as_index(DType d) { return static_cast<int>(d); }

/// Ops whose value is cheaper to make again than to keep for a later pass.
int cost_of(Op op) {
  switch (op) {
    case Op::div:
    case Op::sqrt:
    case Op::rsqrt:
    case Op::floor_div:
    case Op::rem: return 3;
    default: break;
  }
  const bool heavy = (op >= Op::exp && op <= Op::erfinv) || op == Op::pow || op == Op::atan2;
  return heavy ? 16 : 1;
}
constexpr int kCheapAgain = 6;

/// How an op joins a chain: with the value under way as its first operand, or as its second.
struct Chained {
  bool is = false;
  ChainCode first = ChainCode::load, second = ChainCode::load;
};
Chained chained(Op op) {
  switch (op) {
    case Op::add: return {true, ChainCode::add, ChainCode::add};
    case Op::sub: return {true, ChainCode::sub, ChainCode::sub_from};
    case Op::mul: return {true, ChainCode::mul, ChainCode::mul};
    case Op::div: return {true, ChainCode::div, ChainCode::div_into};
    case Op::max: return {true, ChainCode::max, ChainCode::max_of};
    case Op::min: return {true, ChainCode::min, ChainCode::min_of};
    case Op::neg: return {true, ChainCode::neg, ChainCode::neg};
    case Op::abs: return {true, ChainCode::abs, ChainCode::abs};
    case Op::sqrt: return {true, ChainCode::sqrt, ChainCode::sqrt};
    default: return {};
  }
}

class Lowering {
 public:
  Lowering(CpuRegion& region) : region_(region), program_(region.program), kernels_(region.kernels) {}

  void run() {
    for (const Inst& inst : program_.code) value_of_.push_back(lower(inst));
    for (size_t k = 0; k < program_.outputs.size(); ++k) lower_output(static_cast<int>(k));
    for (Node& node : region_.nodes) place(node);
  }

 private:
  std::vector<Node>& nodes() { return region_.nodes; }
  int add(Node node) {
    nodes().push_back(node);
    return static_cast<int>(nodes().size()) - 1;
  }
  /// Without reductions there is one level of elements only.
  Level level_of(Level level) const { return program_.row_rank == 0 && level == Level::outer ? Level::row : level; }

  int compute(TileFn fn, DType type, Level level, std::array<int, 3> operands, int cost, const char* what) {
    if (!fn)
      throw InternalError("CPU interpreter: " + std::string(what) +
                          " is not defined for this type: " + std::string(name_of(type)));
    return add({.kind = Node::Kind::compute,
                .level = level,
                .dtype = type,
                .fn = fn,
                .operands = operands,
                .own_cost = cost,
                .cost = cost});
  }
  int move(int from, Level level) {
    const DType type = nodes()[from].dtype;
    return compute(kernels_.move[kLogWidth[as_index(type)]], type, level, {from, -1, -1}, 1, "move");
  }
  /// A value as it lies in memory, turned into the type that computes.
  int widened(int node) {
    const DType from = nodes()[node].dtype;
    if (!is_half(from)) return node;
    return compute(kernels_.convert[as_index(from)][as_index(DType::float32)], DType::float32, nodes()[node].level,
                   {node, -1, -1}, 1, "load");
  }

  int lower(const Inst& inst) {
    const Level level = level_of(inst.level);
    switch (inst.op) {
      case Op::input:
        return widened(add({.kind = Node::Kind::load,
                            .level = level,
                            .dtype = program_.inputs[inst.index].dtype,
                            .index = static_cast<int>(inst.index)}));
      case Op::scalar:
        return widened(add({.kind = Node::Kind::scalar,
                            .level = Level::scalar,
                            .dtype = program_.scalars[inst.index],
                            .index = static_cast<int>(inst.index)}));
      case Op::constant:
        region_.constants.push_back(inst.imm.bits);
        return add({.kind = Node::Kind::constant,
                    .level = Level::scalar,
                    .dtype = inst.type,
                    .index = static_cast<int>(region_.constants.size()) - 1});
      default: break;
    }
    std::array<int, 3> operands = {-1, -1, -1};
    const uint32_t ids[3] = {inst.a, inst.b, inst.c};
    for (int k = 0; k < ir::operand_count(inst.op); ++k) operands[k] = value_of_[ids[k]];
    if (ir::is_reduction(inst.op)) {
      if (nodes()[operands[0]].level != Level::row) operands[0] = move(operands[0], Level::row);
      if (!kernels_.reduce[reduction_index(inst.op)][as_index(inst.type)].begin)
        throw InternalError("CPU interpreter: " + std::string(ir::name_of(inst.op)) + " is not defined for " +
                            std::string(name_of(inst.type)));
      return add({.kind = Node::Kind::reduce,
                  .level = Level::outer,
                  .dtype = inst.type,
                  .operands = operands,
                  .index = static_cast<int>(inst.op)});
    }
    const DType from = nodes()[operands[inst.op == Op::select ? 1 : 0]].dtype;
    const TileFn fn = inst.op == Op::convert ? kernels_.convert[as_index(from)][as_index(inst.type)]
                                             : kernels_.compute[static_cast<int>(inst.op)][as_index(from)];
    const int node = compute(fn, inst.type, level, operands, cost_of(inst.op), ir::name_of(inst.op).data());
    nodes()[node].op = inst.op;
    return node;
  }

  void lower_output(int k) {
    const auto& out = program_.outputs[k];
    const Level least = program_.row_rank == 0 ? Level::row : Level::outer;
    const Level level = std::max(level_of(out.level), least);
    int node = value_of_[out.value];
    if (is_half(out.dtype)) {
      node = compute(kernels_.convert[as_index(DType::float32)][as_index(out.dtype)], out.dtype, level, {node, -1, -1},
                     1, "store");
    } else {
      check_internal(nodes()[node].dtype == out.dtype,
                     "CPU interpreter: the dtype of an output differs from its value's type");
      const Node& value = nodes()[node];
      const bool made = value.kind == Node::Kind::compute || value.kind == Node::Kind::reduce;
      if (!made || value.level != level || value.output >= 0) node = move(node, level);
    }
    nodes()[node].output = k;
  }

  void place(Node& node) {
    for (int id : node.operands) {
      if (id < 0) continue;
      const Node& operand = nodes()[id];
      node.phase = std::max(node.phase, operand.phase);
      if (operand.level == Level::row) node.cost += operand.cost;
    }
    if (node.kind == Node::Kind::reduce) ++node.phase;
    region_.phases = std::max(region_.phases, node.phase + 1);
  }

  CpuRegion& region_;
  const RegionProgram& program_;
  const TileKernels& kernels_;
  std::vector<int> value_of_;
};

/// Lays the nodes out for one layout.
class Scheduler {
 public:
  Scheduler(const CpuRegion& region, Layout layout, bool buffered, bool assembled)
      : region_(region), nodes_(region.nodes), layout_(layout), buffered_(buffered), assembled_(assembled) {}

  Schedule run() {
    mark_live();
    fixed_slots();
    choose_store_phases();
    choose_buffers();
    for (int p = 0; p < region_.phases; ++p) phase(p);
    mark_last_passes();
    return std::move(schedule_);
  }

 private:
  static constexpr int kEnd = 1 << 30;  // later than every step

  void mark_live() {
    live_.assign(nodes_.size(), false);
    for (size_t i = nodes_.size(); i-- > 0;) {
      if (nodes_[i].output >= 0) live_[i] = true;
      if (!live_[i]) continue;
      for (int id : nodes_[i].operands)
        if (id >= 0) live_[id] = true;
    }
  }

  int add_slot(Slot::Kind kind, int index, DType type) {
    const int log_width = kLogWidth[static_cast<int>(type)];
    schedule_.slots.push_back({kind, index, log_width});
    return static_cast<int>(schedule_.slots.size()) - 1;
  }

  /// Constants, scalars and outer values have one slot for all phases.
  void fixed_slots() {
    slot_of_.assign(nodes_.size(), -1);
    int scalars = 0;
    for (size_t i = 0; i < nodes_.size(); ++i) {
      const Node& node = nodes_[i];
      // Every scalar has its place, so that all layouts agree on it.
      if (node.kind == Node::Kind::constant)
        slot_of_[i] = add_slot(Slot::Kind::constant, node.index, node.dtype);
      else if (node.level == Level::scalar)
        slot_of_[i] = add_slot(Slot::Kind::scalar, scalars++, node.dtype);
      else if (node.level == Level::outer && live_[i])
        slot_of_[i] = add_slot(Slot::Kind::outer, schedule_.outers++, node.dtype);
      if (node.kind == Node::Kind::compute && node.level == Level::scalar && live_[i])
        schedule_.scalar_steps.push_back(step(node, slot_of_[i]));
    }
  }

  /// A step whose row operands have slots already.
  Step step(const Node& node, int out) const {
    Step s{.fn = node.fn, .out = out};
    int* const to[3] = {&s.a, &s.b, &s.c};
    for (int k = 0; k < 3; ++k) {
      const int id = node.operands[k];
      if (id < 0) continue;
      *to[k] = slot_of_[id];
      const Level level = nodes_[id].level;
      if (level == Level::scalar || (level == Level::outer && layout_ == Layout::row)) s.uniform |= 1u << k;
    }
    return s;
  }

  /// The last pass that node `id` takes part in, if its values are made again in each pass that needs them.
  void reads_in(int id, int p, std::vector<int>& last_pass) const {
    const Node& node = nodes_[id];
    if (node.level != Level::row || last_pass[id] >= p) return;
    last_pass[id] = p;
    for (int operand : node.operands)
      if (operand >= 0) reads_in(operand, p, last_pass);
  }

  /// An output may be the memory of an input: it is written in the last pass that reads an input of its width.
  void choose_store_phases() {
    std::vector<int> last_pass(nodes_.size(), -1);
    store_phase_.assign(nodes_.size(), 0);
    for (size_t i = 0; i < nodes_.size(); ++i) {
      const Node& node = nodes_[i];
      if (!live_[i]) continue;
      if (node.kind == Node::Kind::reduce) reads_in(node.operands[0], node.phase - 1, last_pass);
      if (node.level == Level::row) reads_in(static_cast<int>(i), node.phase, last_pass);
    }
    for (size_t i = 0; i < nodes_.size(); ++i) {
      const Node& node = nodes_[i];
      if (node.level != Level::row || node.output < 0) continue;
      store_phase_[i] = node.phase;
      for (size_t k = 0; k < nodes_.size(); ++k)
        if (nodes_[k].kind == Node::Kind::load && size_of(nodes_[k].dtype) == size_of(node.dtype))
          store_phase_[i] = std::max(store_phase_[i], last_pass[k]);
    }
  }

  /// Dear values that a later pass reads are kept for the whole row.
  void choose_buffers() {
    buffer_of_.assign(nodes_.size(), -1);
    if (!buffered_) return;
    const auto keep = [&](int id) {
      const Node& node = nodes_[id];
      if (buffer_of_[id] >= 0 || node.kind != Node::Kind::compute || node.cost <= kCheapAgain) return;
      buffer_of_[id] = static_cast<int>(schedule_.buffered.size());
      schedule_.buffered.push_back(kLogWidth[static_cast<int>(node.dtype)]);
    };
    for (size_t i = 0; i < nodes_.size(); ++i) {
      const Node& node = nodes_[i];
      if (!live_[i]) continue;
      for (int id : node.operands)
        if (id >= 0 && nodes_[id].level == Level::row && node.level == Level::row && nodes_[id].phase < node.phase)
          keep(id);
      if (node.level == Level::row && node.output >= 0 && store_phase_[i] > node.phase) keep(static_cast<int>(i));
    }
  }

  void phase(int p) {
    Phase& phase = schedule_.phases.emplace_back();
    for (size_t i = 0; i < nodes_.size(); ++i) {
      const Node& node = nodes_[i];
      if (!live_[i] || node.level != Level::outer) continue;
      if (node.kind == Node::Kind::load && p == 0) phase.outer_loads.push_back({node.index, slot_of_[i]});
      if (node.phase != p) continue;
      if (node.kind == Node::Kind::compute) phase.outer_steps.push_back(step(node, slot_of_[i]));
      if (node.output >= 0) phase.outer_stores.push_back({node.output, slot_of_[i]});
    }

    // What this pass over the row is for, and all that takes.
    needed_.assign(nodes_.size(), false);
    for (size_t i = 0; i < nodes_.size(); ++i) {
      const Node& node = nodes_[i];
      if (!live_[i]) continue;
      if (node.kind == Node::Kind::reduce && node.phase == p + 1) need(node.operands[0], p);
      if (buffer_of_[i] >= 0 && node.phase == p) need(static_cast<int>(i), p);
      if (node.level == Level::row && node.output >= 0 && store_phase_[i] == p) need(static_cast<int>(i), p);
    }
    row_work(phase, p);
  }

  void need(int id, int p) {
    const Node& node = nodes_[id];
    if (node.level != Level::row || needed_[id]) return;
    needed_[id] = true;
    if (buffer_of_[id] >= 0 && node.phase < p) return;  // read back
    for (int operand : node.operands)
      if (operand >= 0) need(operand, p);
  }

  void row_work(Phase& phase, int p) {
    const auto made_here = [&](size_t i) { return needed_[i] && !(buffer_of_[i] >= 0 && nodes_[i].phase < p); };
    // Last uses, counted in steps.
    std::vector<int> last_use(nodes_.size(), -1);
    std::vector<int> position(nodes_.size(), -1);
    const std::vector<char> joined = join(p, made_here);
    int steps = 0;
    for (size_t i = 0, previous = nodes_.size(); i < nodes_.size(); ++i) {
      if (!made_here(i) || nodes_[i].kind != Node::Kind::compute) continue;
      if (previous != nodes_.size() && joined[previous] && joined[previous] == joined[i]) --steps;
      for (int id : nodes_[i].operands)
        if (id >= 0) last_use[id] = steps;
      position[i] = steps++;
      previous = i;
    }
    // Reductions of floats along the row are done by the last assembled step, if need be one of their own.
    const auto reduced_here = [&](size_t i) {
      return live_[i] && nodes_[i].kind == Node::Kind::reduce && nodes_[i].phase == p + 1;
    };
    const auto fused = [&](size_t i) {
      return assembled_ && layout_ == Layout::row && reduced_here(i) && nodes_[i].dtype == DType::float32;
    };
    int reducing = -1;
    for (size_t i = 0; i < nodes_.size(); ++i) {
      if (!fused(i) || reducing >= 0) continue;
      size_t last = nodes_.size();
      for (size_t k = 0; k < nodes_.size(); ++k)
        if (position[k] >= 0) last = k;
      reducing = last < nodes_.size() && joined[last] ? position[last] : steps++;
    }
    for (size_t i = 0; i < nodes_.size(); ++i) {
      const Node& node = nodes_[i];
      if (!live_[i]) continue;
      if (reduced_here(i))
        last_use[node.operands[0]] = std::max(last_use[node.operands[0]], fused(i) ? reducing : kEnd);
      if (node.level == Level::row && node.output >= 0 && store_phase_[i] == p && needed_[i]) last_use[i] = kEnd;
    }

    const std::vector<int> uses = last_use;
    std::vector<int> node_of_step;

    std::vector<int> free;
    const auto take = [&] {
      if (free.empty()) return schedule_.tiles++;
      const int reg = free.back();
      free.pop_back();
      return reg;
    };
    for (int reg = schedule_.tiles; reg-- > 0;) free.push_back(reg);
    const auto tile_slot = [&](size_t i) {
      const int slot = add_slot(Slot::Kind::tile, take(), nodes_[i].dtype);
      schedule_.log_width = std::max(schedule_.log_width, schedule_.slots[slot].log_width);
      return slot;
    };

    std::vector<int> outer_slots = slot_of_;  // put back at the end
    for (size_t i = 0; i < nodes_.size(); ++i) {
      const Node& node = nodes_[i];
      if (node.level == Level::outer && layout_ == Layout::batch && last_use[i] >= 0) {
        const int slot = tile_slot(i);
        phase.expands.push_back({slot_of_[i], slot, schedule_.slots[slot].log_width});
        slot_of_[i] = slot;
      }
      if (!needed_[i]) continue;
      if (node.kind == Node::Kind::load) {
        slot_of_[i] = tile_slot(i);
        phase.loads.push_back({node.index, slot_of_[i], last_use[i]});
      } else if (buffer_of_[i] >= 0) {
        slot_of_[i] = add_slot(Slot::Kind::row, buffer_of_[i], node.dtype);
      }
    }
    Fused group;
    const auto close = [&](int at) {  // the assembled step `at` is complete: operands may give their tiles away
      finish_group(phase, group, at);
      node_of_step.push_back(-1);
      for (size_t i = 0; i < nodes_.size(); ++i) {
        if (last_use[i] != at || slot_of_[i] < 0 || schedule_.slots[slot_of_[i]].kind != Slot::Kind::tile) continue;
        free.push_back(schedule_.slots[slot_of_[i]].index);
        last_use[i] = -1;
      }
      group = {};
    };
    for (size_t i = 0; i < nodes_.size(); ++i) {
      const Node& node = nodes_[i];
      if (position[i] < 0) continue;
      if (group.open && position[i] != static_cast<int>(phase.steps.size()))
        close(static_cast<int>(phase.steps.size()));
      if (joined[i]) {
        add_to_group(group, static_cast<int>(i));
        const bool inside = buffer_of_[i] < 0 && last_use[i] <= position[i];
        if (inside) {
          slot_of_[i] = -1;
          continue;
        }
        if (buffer_of_[i] < 0) slot_of_[i] = tile_slot(i);
        group.program.stores.push_back({.slot = slot_of_[i],
                                        .value = jit::stored(group.values[i], group.program.tape),
                                        .dtype = node.dtype,
                                        .result = node.output >= 0 && buffer_of_[i] < 0});
        continue;
      }
      // Operands that end here: those of the same width may give their tile to the result.
      const auto release = [&](bool same_width) {
        for (int k = 0; k < 3; ++k) {
          const int id = node.operands[k];
          if (id < 0 || last_use[id] != position[i]) continue;
          const Slot& slot = schedule_.slots[slot_of_[id]];
          if (slot.kind != Slot::Kind::tile || (size_of(nodes_[id].dtype) == size_of(node.dtype)) != same_width)
            continue;
          free.push_back(slot.index);
          last_use[id] = -1;
        }
      };
      Step s = step(node, 0);
      release(true);
      if (buffer_of_[i] < 0) slot_of_[i] = tile_slot(i);
      s.out = slot_of_[i];
      release(false);
      if (last_use[i] < 0 && buffer_of_[i] < 0) free.push_back(schedule_.slots[slot_of_[i]].index);
      s.cost = node.own_cost;
      phase.steps.push_back(s);
      node_of_step.push_back(static_cast<int>(i));
    }
    if (reducing >= 0) {
      if (group.open && reducing != static_cast<int>(phase.steps.size())) close(static_cast<int>(phase.steps.size()));
      int index = 0;
      for (size_t i = 0; i < nodes_.size(); ++i) {
        if (!reduced_here(i)) continue;
        if (fused(i)) {
          const int value = value_in(group, nodes_[i].operands[0]);
          const int lanes = static_cast<int>(schedule_.slots.size());
          schedule_.slots.push_back({Slot::Kind::lanes, index, 2});
          group.program.reduces.push_back({lanes, value, reduction_index(static_cast<Op>(nodes_[i].index))});
          group.open = true;
        }
        ++index;
      }
    }
    if (group.open) close(static_cast<int>(phase.steps.size()));
    make_chains(phase, node_of_step, uses);
    for (size_t i = 0; i < nodes_.size(); ++i) {
      const Node& node = nodes_[i];
      if (!live_[i]) continue;
      if (node.kind == Node::Kind::reduce && node.phase == p + 1)
        phase.reduces.push_back({static_cast<int>(i), slot_of_[node.operands[0]], outer_slots[i], fused(i)});
      if (node.level == Level::row && node.output >= 0 && store_phase_[i] == p) {
        // Where a later pass, or this one, reads the kept value, the output is a copy of it.
        const bool own = buffer_of_[i] < 0;
        phase.stores.push_back({node.output, slot_of_[i], own ? position[i] : -1});
      }
    }
    for (size_t i = 0; i < nodes_.size(); ++i)
      if (nodes_[i].level != Level::row) slot_of_[i] = outer_slots[i];
  }

  // --- assembled steps -----------------------------------------------------------------------------------------------

  static constexpr int kLongest = 400;  // nodes of one assembled step

  struct Fused {
    bool open = false;
    jit::Program program;
    std::map<size_t, int> values;  // of nodes, on the tape
    int cost = 0;
  };

  /// Nodes with the same number, other than 0, that follow one another are one assembled step. A single one is no gain
  /// unless its result may go past the caches or be reduced at once.
  template <class MadeHere>
  std::vector<char> join(int p, const MadeHere& made_here) const {
    std::vector<char> joined(nodes_.size(), 0);
    if (!assembled_) return joined;
    std::vector<size_t> run;
    char number = 0;
    const auto close = [&] {
      if (run.size() > 1 || (run.size() == 1 && (nodes_[run[0]].output >= 0 || is_reduced(run[0], p))))
        for (number = static_cast<char>(number % 100 + 1); size_t i : run) joined[i] = number;
      run.clear();
    };
    for (size_t i = 0; i < nodes_.size(); ++i) {
      if (!made_here(i) || nodes_[i].kind != Node::Kind::compute) continue;
      if (!jit::may_join(nodes_, nodes_[i]) || !loadable(nodes_[i])) {
        close();
        continue;
      }
      run.push_back(i);
      if (run.size() == kLongest) close();
    }
    close();
    return joined;
  }
  bool is_reduced(size_t id, int p) const {
    for (const Node& node : nodes_)
      if (node.kind == Node::Kind::reduce && node.phase == p + 1 && node.operands[0] == static_cast<int>(id))
        return layout_ == Layout::row && node.dtype == DType::float32;
    return false;
  }
  bool is_uniform(const Node& node) const {
    return node.level == Level::scalar || (node.level == Level::outer && layout_ == Layout::row);
  }
  bool loadable(const Node& node) const {
    jit::Tape tape;
    for (int id : node.operands)
      if (id >= 0 && jit::record_slot(0, nodes_[id].dtype, is_uniform(nodes_[id]), tape) < 0) return false;
    return true;
  }
  int value_in(Fused& group, int id) const {
    const auto made = group.values.find(static_cast<size_t>(id));
    if (made != group.values.end()) return made->second;
    return jit::record_slot(slot_of_[id], nodes_[id].dtype, is_uniform(nodes_[id]), group.program.tape);
  }
  void add_to_group(Fused& group, int i) const {
    const Node& node = nodes_[i];
    SmallVector<DType, 3> from;
    SmallVector<int, 3> operands;
    for (int id : node.operands) {
      if (id < 0) continue;
      from.push_back(nodes_[id].dtype);
      operands.push_back(value_in(group, id));
    }
    group.open = true;
    group.cost += node.own_cost;
    group.values[static_cast<size_t>(i)] =
        jit::record(node, {from.data(), from.size()}, {operands.data(), operands.size()}, group.program.tape);
  }
  void finish_group(Phase& phase, Fused& group, int at) {
    check_internal(at == static_cast<int>(phase.steps.size()), "CPU interpreter: an assembled step is out of order");
    const int cost = group.cost + static_cast<int>(group.program.reduces.size());
    // A row is read again by each pass: the next one had better be there. Where everything is read once and in order the
    // machine looks ahead by itself, and does it better.
    group.program.looks_ahead =
        std::any_of(nodes_.begin(), nodes_.end(), [](const Node& node) { return node.kind == Node::Kind::reduce; });
    auto code = jit::assemble(std::move(group.program));
    if (!code) throw jit::NoExecutableMemory();
    phase.steps.push_back({.code = code.get(), .cost = cost});
    schedule_.code.push_back(std::move(code));
  }

  /// What streaming and prefetching need to know.
  void mark_last_passes() {
    std::vector<const Phase*> last(region_.program.inputs.size(), nullptr);
    for (const Phase& phase : schedule_.phases)
      for (const Phase::Load& load : phase.loads) last[static_cast<size_t>(load.input)] = &phase;
    schedule_.tileless = assembled_;
    for (Phase& phase : schedule_.phases) {
      for (Phase::Load& load : phase.loads) load.last_pass = last[static_cast<size_t>(load.input)] == &phase;
      for (const Step& s : phase.steps) schedule_.tileless &= s.code != nullptr;
    }
    schedule_.streams = schedule_.tileless;
    for (const Phase& phase : schedule_.phases)
      for (const Phase::Store& store : phase.stores) schedule_.streams &= store.made_by >= 0;
  }

  bool may_chain(int id) const {
    if (id < 0) return false;  // assembled
    const Node& node = nodes_[id];
    if (node.dtype != DType::float32 && node.dtype != DType::float64) return false;
    for (int id : node.operands)
      if (id >= 0 && nodes_[id].dtype != node.dtype) return false;  // the abs of a complex number
    return chained(node.op).is;
  }

  /// Joins neighbouring steps on floats of one width into chains. `uses[id]`: the last step that reads the value.
  void make_chains(Phase& phase, const std::vector<int>& node_of_step, const std::vector<int>& uses) {
    std::vector<Step> steps;
    const int count = static_cast<int>(phase.steps.size());
    for (int first = 0; first < count;) {
      int end = first;
      while (end < count && may_chain(node_of_step[end]) &&
             nodes_[node_of_step[end]].dtype == nodes_[node_of_step[first]].dtype)
        ++end;
      if (end - first < 2) {
        steps.push_back(phase.steps[first++]);
        continue;
      }
      Step chain{.chain = region_.kernels.chain[nodes_[node_of_step[first]].dtype == DType::float64],
                 .a = static_cast<int>(phase.chain_ops.size()),
                 .cost = 0};
      int under_way = -1;  // node
      for (int i = first; i < end; ++i) {
        const int id = node_of_step[i];
        const Node& node = nodes_[id];
        const Step& s = phase.steps[i];
        const Chained how = chained(node.op);
        const bool binary = node.operands[1] >= 0;
        const bool second = binary && node.operands[1] == under_way && node.operands[0] != under_way;
        if (!second && node.operands[0] != under_way)
          phase.chain_ops.push_back({ChainCode::load, (s.uniform & 1) != 0, s.a});
        if (second)
          phase.chain_ops.push_back({how.second, (s.uniform & 1) != 0, s.a});
        else
          phase.chain_ops.push_back({how.first, binary && (s.uniform & 2) != 0, binary ? s.b : s.out});
        // It need not be stored if the next step alone reads it, as the value under way.
        under_way = id;
        const bool handed_on = i + 1 < end && uses[id] == i + 1 && schedule_.slots[s.out].kind == Slot::Kind::tile &&
                               reads_once(nodes_[node_of_step[i + 1]], id);
        if (!handed_on) phase.chain_ops.push_back({ChainCode::store, false, s.out});
        chain.cost += s.cost;
      }
      chain.b = static_cast<int>(phase.chain_ops.size()) - chain.a;
      steps.push_back(chain);
      first = end;
    }
    for (Step& s : steps)
      if (s.chain) s.ops = phase.chain_ops.data() + s.a;
    phase.steps = std::move(steps);
  }
  static bool reads_once(const Node& node, int id) { return (node.operands[0] == id) + (node.operands[1] == id) == 1; }

  const CpuRegion& region_;
  const std::vector<Node>& nodes_;
  Layout layout_;
  bool buffered_, assembled_;
  Schedule schedule_;
  std::vector<char> live_, needed_;
  std::vector<int> slot_of_, store_phase_, buffer_of_;
};

}  // namespace

CpuRegion::CpuRegion(RegionProgram p) : program(std::move(p)), kernels(tile_kernels()) {
  Lowering(*this).run();
  for (const Node& node : nodes) scalar_slots += node.level == Level::scalar && node.kind != Node::Kind::constant;
  constant_memory = std::make_unique<char[]>((constants.size() + 1) * 64);
  for (const Node& node : nodes) {
    if (node.kind != Node::Kind::constant) continue;
    char* at = const_cast<char*>(constant_at(node.index));
    const size_t width = size_t{1} << kLogWidth[as_index(node.dtype)];
    for (size_t i = 0; i < 64; i += width) std::memcpy(at + i, &constants[node.index], width);
  }
}

const char* CpuRegion::constant_at(int index) const {
  const uintptr_t base = (reinterpret_cast<uintptr_t>(constant_memory.get()) + 63) & ~uintptr_t{63};
  return reinterpret_cast<const char*>(base) + int64_t{index} * 64;
}

const Schedule& CpuRegion::schedule(Layout layout, bool buffered, bool assembled) const {
  Lazy& lazy = schedules_[static_cast<int>(layout)][buffered][assembled];
  std::call_once(lazy.once, [&] {
    try {
      lazy.schedule = Scheduler(*this, layout, buffered, assembled).run();
    } catch (const jit::NoExecutableMemory&) {
      lazy.schedule = Scheduler(*this, layout, buffered, false).run();
    }
  });
  return lazy.schedule;
}

const char* CpuRegion::how() const { return worth_assembling(0) ? "assembled" : "interpreted"; }

bool CpuRegion::worth_assembling(int64_t elements) const {
  constexpr int64_t kWorth = 1 << 20;  // assembling takes as long as about so many elements times instructions
  if (assembling != Assembling::automatic || !jit::available())
    return assembling == Assembling::always && jit::available();
  if (jit::always()) return true;
  if (work_.load(std::memory_order_relaxed) >= kWorth) return true;
  const int64_t added = std::min(elements, kWorth) * static_cast<int64_t>(program.code.size());
  return work_.fetch_add(added, std::memory_order_relaxed) + added >= kWorth;
}

void CpuRegion::run(const RegionBinding& binding) const {
  if (program.row_rank == 0)
    run_elementwise(*this, binding);
  else
    run_rows(*this, binding);
}

}  // namespace plait::cpu

namespace plait {

std::unique_ptr<CompiledRegion> compile_region_cpu(RegionProgram region) {
  return std::make_unique<cpu::CpuRegion>(std::move(region));
}

}  // namespace plait
