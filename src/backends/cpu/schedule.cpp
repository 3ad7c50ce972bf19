// From nodes to steps: what each pass over the elements does, and where its values lie.
#include <algorithm>
#include <map>

#include "backends/cpu/interpreter.h"
#include "backends/cpu/jit/assemble.h"
#include "backends/cpu/jit/fuse.h"
#include "plait/error.h"

namespace plait::cpu {
namespace {

using ir::Level;
using ir::Op;

constexpr int kCheapAgain = 6;  // values that cost more are kept for a later pass, others made again

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
    make_chains(region_, schedule_.slots, node_of_step, uses, phase);
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

  const CpuRegion& region_;
  const std::vector<Node>& nodes_;
  Layout layout_;
  bool buffered_, assembled_;
  Schedule schedule_;
  std::vector<char> live_, needed_;
  std::vector<int> slot_of_, store_phase_, buffer_of_;
};

}  // namespace

Schedule make_schedule(const CpuRegion& region, Layout layout, bool buffered, bool assembled) {
  return Scheduler(region, layout, buffered, assembled).run();
}

}  // namespace plait::cpu
