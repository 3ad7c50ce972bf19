// Steps on floats that follow one another, joined into one pass over the tile.
#include "backends/cpu/interpreter.h"

namespace plait::cpu {
namespace {

using ir::Op;

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

bool may_chain(const std::vector<Node>& nodes, int id) {
  if (id < 0) return false;  // assembled
  const Node& node = nodes[id];
  if (node.dtype != DType::float32 && node.dtype != DType::float64) return false;
  for (int id : node.operands)
    if (id >= 0 && nodes[id].dtype != node.dtype) return false;  // the abs of a complex number
  return chained(node.op).is;
}

bool reads_once(const Node& node, int id) { return (node.operands[0] == id) + (node.operands[1] == id) == 1; }

}  // namespace

void make_chains(const CpuRegion& region, const std::vector<Slot>& slots, const std::vector<int>& node_of_step,
                 const std::vector<int>& uses, Phase& phase) {
  const std::vector<Node>& nodes = region.nodes;
  std::vector<Step> steps;
  const int count = static_cast<int>(phase.steps.size());
  for (int first = 0; first < count;) {
    int end = first;
    while (end < count && may_chain(nodes, node_of_step[end]) &&
           nodes[node_of_step[end]].dtype == nodes[node_of_step[first]].dtype)
      ++end;
    if (end - first < 2) {
      steps.push_back(phase.steps[first++]);
      continue;
    }
    Step chain{.chain = region.kernels.chain[nodes[node_of_step[first]].dtype == DType::float64],
               .a = static_cast<int>(phase.chain_ops.size()),
               .cost = 0};
    int under_way = -1;  // node
    for (int i = first; i < end; ++i) {
      const int id = node_of_step[i];
      const Node& node = nodes[id];
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
      const bool handed_on = i + 1 < end && uses[id] == i + 1 && slots[s.out].kind == Slot::Kind::tile &&
                             reads_once(nodes[node_of_step[i + 1]], id);
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

}  // namespace plait::cpu
