#include "engine/graph.h"

#include <algorithm>

#include "graph/op.h"
#include "graph/stream.h"

namespace plait::engine {
namespace {

// Equality classes of extents. Graphs have few distinct extents; a linear scan beats a table.
class Symbols {
 public:
  SymbolId of(int64_t extent) {
    if (extent <= 1) return static_cast<SymbolId>(extent);
    for (size_t i = extents_.size(); i-- > 0;)
      if (extents_[i] == extent) return static_cast<SymbolId>(i + 2);
    extents_.push_back(extent);
    return static_cast<SymbolId>(extents_.size() + 1);
  }

 private:
  std::vector<int64_t> extents_;
};

class Collector {
 public:
  explicit Collector(SourceId& culprit) : culprit_(culprit) {}

  Graph run(std::span<const Array> roots, const std::shared_ptr<Event>& event) {
    static uint64_t epochs = 0;  // under the graph lock
    epoch_ = ++epochs;
    for (const Array& root : roots) visit(root.node());
    g_.inputs_at.push_back(static_cast<uint32_t>(g_.inputs.size()));
    mark_needed(roots);
    for (Node* node : g_.nodes) {
      node->state.store(Node::State::claimed, std::memory_order_relaxed);
      node->event = event;
    }
    g_.key = hasher_.key();
    return std::move(g_);
  }

 private:
  void visit(Node* root) {
    if (root->visit == epoch_) return;
    enter(root);
    while (!stack_.empty()) {
      auto& [node, next] = stack_.back();
      if (next < node->inputs.size()) {
        Node* in = node->inputs[next++].node();
        if (in->visit != epoch_) enter(in);
      } else {
        Node* finished = node;
        stack_.pop_back();
        finish(finished);
      }
    }
  }

  void enter(Node* node) {
    node->visit = epoch_;
    const auto state = node->state.load(std::memory_order_acquire);
    if (state == Node::State::pending) {
      if (node->lost) std::rethrow_exception(node->lost);
      if (node->op->kind == OpKind::placeholder && node->inputs.empty()) {
        culprit_ = node->source;
        throw TransformError({.op = node->op->name,
                              .got = "a traced array was evaluated",
                              .accepts = "operations that stay in the graph",
                              .hint = "inside vmap and compile values are not known; return the array, or move the "
                                      "evaluation (print, item, if) out of the traced function"});
      }
      stack_.push_back({node, 0});
      return;
    }
    if (state == Node::State::claimed) g_.waits.push_back(std::static_pointer_cast<Event>(node->event));
    node->position = static_cast<uint32_t>(g_.values.size());
    for (uint32_t k = 0; k < node->avals.size(); ++k) add_value(node, k, true);
  }

  void finish(Node* node) {
    const auto at = static_cast<uint32_t>(g_.nodes.size());
    g_.inputs_at.push_back(static_cast<uint32_t>(g_.inputs.size()));
    hasher_.add(uint64_t{node->op->id} << 16 | node->inputs.size());
    for (const Array& in : node->inputs) {
      const Node* from = in.node();
      const bool leaf = from->state.load(std::memory_order_relaxed) != Node::State::pending;
      const ValueId v = (leaf ? from->position : g_.first_value[from->position]) + in.index();
      ++g_.values[v].uses;
      g_.inputs.push_back(v);
      hasher_.add(uint64_t{v});
    }
    if (node->attrs)
      for (const auto& field : node->op->attrs)
        if (!field->bound) field->hash(node->attrs->data(), hasher_);
    const Place place =
        node->stream == 0 || device_of_stream(node->stream).type == DeviceType::cpu ? kCpu : node->stream;
    hasher_.add(uint64_t{place});
    node->position = at;
    g_.nodes.push_back(node);
    g_.places.push_back(place);
    g_.first_value.push_back(static_cast<ValueId>(g_.values.size()));
    for (uint32_t k = 0; k < node->avals.size(); ++k) add_value(node, k, false);
  }

  void add_value(Node* node, uint32_t output, bool leaf) {
    const Aval& aval = node->avals[output];
    g_.values.push_back({node, output, leaf, static_cast<uint32_t>(g_.symbols.size()), node->position});
    hasher_.add(uint64_t{leaf} << 32 | uint64_t{static_cast<uint8_t>(aval.dtype)} << 16 | aval.shape.size());
    for (const Dim& d : aval.shape) {
      const SymbolId s = symbols_.of(d.value());
      g_.symbols.push_back(s);
      hasher_.add(uint64_t{s});
    }
  }

  // A node must be in memory afterwards when somebody outside this graph holds it.
  void mark_needed(std::span<const Array> roots) {
    g_.needed.assign(g_.nodes.size(), 0);
    for (const Array& root : roots) {
      Node* node = root.node();
      if (node->state.load(std::memory_order_relaxed) == Node::State::pending) g_.needed[node->position] = 1;
    }
    for (size_t i = 0; i < g_.nodes.size(); ++i) {
      uint32_t uses = 0;
      for (uint32_t k = 0; k < g_.nodes[i]->avals.size(); ++k) uses += g_.values[g_.first_value[i] + k].uses;
      // Numbers stay numbers: whoever holds one can have it again for nothing, and regions take it as an operand.
      if (g_.nodes[i]->use_count() > uses && g_.nodes[i]->op->kind != OpKind::constant) g_.needed[i] = 1;
      hasher_.add(uint64_t{g_.needed[i]});
    }
  }

  struct Frame {
    Node* node;
    uint32_t next;
  };
  SourceId& culprit_;
  Graph g_;
  Hasher hasher_;
  Symbols symbols_;
  std::vector<Frame> stack_;
  uint64_t epoch_ = 0;
};

}  // namespace

Graph collect(std::span<const Array> roots, const std::shared_ptr<Event>& event, SourceId& culprit) {
  return Collector(culprit).run(roots, event);
}

std::vector<bool> made_of(const Graph& g, std::vector<bool> from) {
  for (size_t i = 0; i < g.nodes.size(); ++i)
    for (const ValueId v : g.inputs_of(i))
      if (!g.values[v].leaf && from[g.values[v].producer]) from[i] = true;
  return from;
}

}  // namespace plait::engine
