#include "engine/verify.h"

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>

#include "graph/op.h"

namespace plait::engine {
namespace {

void require(bool ok, const std::string& rule) {
  if (!ok) [[unlikely]]
    throw InternalError("the plan breaks a rule: " + rule);
}

}  // namespace

bool verifying() {
#ifndef NDEBUG
  return true;
#else
  static const bool on = [] {
    const char* value = std::getenv("PLAIT_VERIFY");
    return value != nullptr && *value != '\0' && *value != '0';
  }();
  return on;
#endif
}

bool dumping(const char* stage) {
  static const char* const wanted = std::getenv("PLAIT_DUMP");
  return wanted != nullptr && (std::strcmp(wanted, stage) == 0 || std::strcmp(wanted, "all") == 0);
}

void dump(const char* stage, const std::string& text) { std::fprintf(stderr, "--- %s\n%s", stage, text.c_str()); }

void verify_regions(const Graph& graph, const Regions& regions) {
  std::vector<uint8_t> listed(graph.nodes.size());
  for (size_t g = 0; g < regions.groups.size(); ++g) {
    const Group& group = regions.groups[g];
    require(group.alive || group.nodes.empty(), "a merged region is empty");
    uint32_t before = 0;
    for (const uint32_t node : group.nodes) {
      require(node >= before, "nodes of a region are in order");
      before = node;
      require(!listed[node]++, "a node belongs to one region");
      require(regions.group_of[node] == static_cast<int32_t>(g), "a node knows its region");
      require(regions.axes[node].size() == graph.shape(graph.first_value[node]).size(),
              "each axis of a node has a place");
      const auto shape = graph.shape(graph.first_value[node]);
      for (size_t i = 0; i < shape.size(); ++i) {
        const int8_t axis = regions.axes[node][i];
        if (axis == kNoAxis) {
          require(shape[i] == 1, "an axis without a place has extent 1");
          continue;
        }
        require(group.space[static_cast<size_t>(axis)] == shape[i], "an axis has the extent of its place");
        if (regions.levels[node] == ir::Level::outer)
          require(!(group.reduced >> axis & 1) || shape[i] == 1, "a value once per row does not run along the row");
      }
    }
  }
  for (uint32_t node = 0; node < graph.nodes.size(); ++node)
    require(listed[node] == (regions.roles[node] == Role::grouped), "what a region computes is in one");
}

void verify_program(const RegionProgram& program) {
  std::vector<uint8_t> read(program.inputs.size());
  for (size_t i = 0; i < program.code.size(); ++i) {
    const ir::Inst& inst = program.code[i];
    const uint32_t operands[3] = {inst.a, inst.b, inst.c};
    for (int k = 0; k < ir::operand_count(inst.op); ++k) {
      require(operands[k] < i, "operands come before their user");
      const ir::Inst& operand = program.code[operands[k]];
      if (ir::is_reduction(inst.op)) {
        require(operand.level == ir::Level::row && inst.level == ir::Level::outer && program.row_rank > 0,
                "a reduction goes from the row to the outer level");
      } else {
        require(operand.level <= inst.level, "a value exists at least as often as its operands");
      }
    }
    require(!is_half(inst.type), "16-bit floats are held as float32");
    if (inst.op == ir::Op::input) {
      require(inst.index < static_cast<int64_t>(program.inputs.size()), "inputs are declared");
      require(!read[static_cast<size_t>(inst.index)]++, "an input is read in one place");
    }
    if (inst.op == ir::Op::scalar)
      require(inst.index < static_cast<int64_t>(program.scalars.size()), "scalars are declared");
  }
  for (const auto& out : program.outputs) {
    require(out.value < program.code.size(), "an output has a value");
    require(program.code[out.value].type == ir::compute_type(out.dtype), "an output has its value's type");
    require(program.code[out.value].level == out.level, "an output has its value's level");
  }
}

void verify_plan(const Graph& graph, const Plan& plan) {
  std::vector<uint8_t> there(graph.values.size());
  for (ValueId v = 0; v < graph.values.size(); ++v) there[v] = graph.values[v].leaf;
  const auto read = [&](ValueId v) { require(there[v], "a value is in memory when it is read"); };
  const auto write = [&](ValueId v) { require(!graph.values[v].leaf && !there[v]++, "a value is written once"); };
  for (const Step& step : plan.steps) {
    for (const ValueId v : reads_of(plan, graph, step)) read(v);
    for (const ValueId v : writes_of(plan, graph, step)) write(v);
    for (const ValueId v : step.dies) {
      read(v);
      there[v] = 0;
    }
  }
  for (uint32_t node = 0; node < graph.nodes.size(); ++node)
    if (graph.needed[node])
      for (size_t k = 0; k < graph.nodes[node]->avals.size(); ++k)
        read(graph.first_value[node] + static_cast<ValueId>(k));
}

}  // namespace plait::engine
