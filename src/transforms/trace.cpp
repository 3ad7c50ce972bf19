#include "transforms/trace.h"

#include "graph/registry.h"

namespace plait {
namespace {

const OpDef& placeholder_op() {
  static const OpHandle op("placeholder");
  return *op;
}

}  // namespace

Ref<Node> make_node_as(const Node& like, Ref<AttrsBase> attrs, SmallVector<Array, 2> inputs, Avals avals) {
  Ref<Node> node = make_ref<Node>();
  node->op = like.op;
  node->attrs = std::move(attrs);
  node->level = LevelFloor::current();
  for (const Array& in : inputs) {
    node->level = std::max(node->level, in.node()->level);
    node->abstract |= in.node()->abstract;
  }
  node->inputs = std::move(inputs);
  node->avals = std::move(avals);
  node->source = like.source;
  node->stream = like.stream;
  return node;
}

Array concrete_placeholder(const Array& value, uint64_t level) {
  Ref<Node> node = make_ref<Node>();
  node->op = &placeholder_op();
  node->inputs.push_back(value);
  node->avals.push_back({value.shape(), value.dtype()});
  node->level = level;
  node->abstract = value.node()->abstract;
  node->source = current_source();
  return Array(std::move(node), 0);
}

Array abstract_placeholder(Aval aval, uint64_t level) {
  Ref<Node> node = make_ref<Node>();
  node->op = &placeholder_op();
  node->avals.push_back(std::move(aval));
  node->level = level;
  node->abstract = true;
  node->source = current_source();
  return Array(std::move(node), 0);
}

TraceGraph::TraceGraph(std::span<const Array> outputs, std::span<const Array> placeholders, uint64_t level) {
  constexpr int64_t kSeen = -1, kPlaceholder = -2;  // which is numbered when it is reached
  for (const Array& p : placeholders) position_.emplace(p.node(), kPlaceholder);
  struct Frame {
    Node* node;
    uint32_t next;
  };
  std::vector<Frame> stack;
  const auto list = [&](Node* node, int64_t& position) {
    position = static_cast<int64_t>(nodes_.size());
    nodes_.push_back(node);
  };
  // Nodes older than the trace cannot depend on it, and may be losing their inputs to an evaluation right now.
  const auto enter = [&](Node* node) {
    if (node->level < level) return;
    const auto [at, fresh] = position_.try_emplace(node, kSeen);
    if (fresh)
      stack.push_back({node, 0});
    else if (at->second == kPlaceholder)
      list(node, at->second);
  };
  for (const Array& out : outputs) {
    enter(out.node());
    while (!stack.empty()) {
      auto& [node, next] = stack.back();
      if (next < node->inputs.size()) {
        enter(node->inputs[next++].node());
        continue;
      }
      Node* finished = node;
      stack.pop_back();
      for (const Array& in : finished->inputs) {
        if (!depends(in)) continue;
        list(finished, position_[finished]);
        break;
      }
    }
  }
}

}  // namespace plait
