#pragma once

#include <cstdint>
#include <span>
#include <unordered_map>
#include <vector>

#include "graph/op.h"

namespace plait {

/// An array that stands for `value` in a trace and evaluates to it.
Array concrete_placeholder(const Array& value, uint64_t level);
/// An array of which only shape and dtype are known; evaluating it is an error.
Array abstract_placeholder(Aval aval, uint64_t level);

/// A node outside of the registry's use: same op and attributes, no inference. For rewriting traces.
Ref<Node> make_node_as(const Node& like, Ref<AttrsBase> attrs, SmallVector<Array, 2> inputs, Avals avals);

/// The nodes between placeholders of trace `level` and `outputs` that depend on those placeholders, inputs first.
/// Iterative; nodes are alive as long as `outputs` are.
class TraceGraph {
 public:
  TraceGraph(std::span<const Array> outputs, std::span<const Array> placeholders, uint64_t level);

  const std::vector<Node*>& nodes() const { return nodes_; }
  bool depends(const Array& a) const { return position(a.node()) >= 0; }
  /// Number of the node in `nodes`, or -1 when it does not depend on the trace.
  int64_t position(const Node* node) const {
    const auto it = position_.find(node);
    return it == position_.end() || it->second < 0 ? -1 : it->second;
  }

 private:
  std::vector<Node*> nodes_;
  std::unordered_map<const Node*, int64_t> position_;  // in `nodes_`; below 0: seen and not in it
};

}  // namespace plait
