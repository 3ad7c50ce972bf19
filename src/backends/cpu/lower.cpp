// From a region's program to nodes.
#include <algorithm>
#include <string>

#include "backends/cpu/interpreter.h"
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

}  // namespace

void lower_program(CpuRegion& region) { Lowering(region).run(); }

}  // namespace plait::cpu
