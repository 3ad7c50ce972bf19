#include <set>
#include <unordered_map>
#include <unordered_set>
#include <utility>

#include "ops/transform/custom_call.h"
#include "plait/more_ops.h"
#include "plait/transforms.h"
#include "transforms/trace.h"

namespace plait {
namespace {

/// Makes the nodes that lead from some arrays to others again. Numbers, and what no trace can reach, stay as they are.
class Again {
 public:
  Again(const Arrays& from, const Arrays& to) {
    for (size_t i = 0; i < from.size(); ++i) made_[from[i].node()].push_back({from[i].index(), to[i]});
  }

  Arrays make(const Arrays& outputs) {
    Arrays out;
    for (const Array& a : outputs) {
      visit(a);
      out.push_back(find(a) ? *find(a) : a);
    }
    return out;
  }

 private:
  struct Made {
    uint32_t output;
    Array array;
  };
  struct Frame {
    Node* node;
    uint32_t next;
  };

  static bool stays(const Node& node) {
    return node.op->kind == OpKind::constant || (node.done() && node.level == 0) ||
           (node.op->kind == OpKind::placeholder && node.inputs.empty());
  }

  void visit(const Array& root) {
    if (find(root) || stays(*root.node())) return;
    std::vector<Frame> stack{{root.node(), 0}};
    while (!stack.empty()) {
      auto& [node, next] = stack.back();
      if (next < node->inputs.size()) {
        const Array& in = node->inputs[next++];
        if (!find(in) && !stays(*in.node())) stack.push_back({in.node(), 0});
      } else {
        Node* const ready = node;
        stack.pop_back();
        make_again(ready);
      }
    }
  }

  void make_again(Node* node) {
    const auto add = [&](uint32_t output, const Array& array) {
      if (!find(Array(Ref<Node>::share(node), output))) made_[node].push_back({output, array});
    };
    SmallVector<Array, 2> inputs;
    for (const Array& in : node->inputs) inputs.push_back(find(in) ? *find(in) : in);
    if (node->op->kind == OpKind::placeholder) {
      add(0, inputs[0]);
      return;
    }
    const Ref<Node> again = make_node_as(*node, node->attrs, std::move(inputs), node->avals);
    for (uint32_t k = 0; k < node->avals.size(); ++k) add(k, Array(again, k));
  }

  const Array* find(const Array& a) const {
    const auto at = made_.find(a.node());
    if (at == made_.end()) return nullptr;
    for (const Made& made : at->second)
      if (made.output == a.index()) return &made.array;
    return nullptr;
  }

  std::unordered_map<const Node*, std::vector<Made>> made_;
};

/// Computes what leads from the arguments to the outputs again for the gradient, after the cotangents are there.
/// The arguments are all that the outputs depend on and that was there before, so any rewriting of the graph keeps the rule.
class Recompute final : public CallRules {
 public:
  Grads vjp(const VjpArgs& at) const override {
    const size_t count = at.node.inputs.size() - at.cotangents.size();
    Arrays outputs, cotangents, given;
    for (size_t k = 0; k < at.cotangents.size(); ++k) {
      if (!at.cotangents[k].defined()) continue;
      outputs.push_back(at.node.inputs[count + k]);
      cotangents.push_back(at.cotangents[k]);
    }
    const Arrays arguments(at.node.inputs.begin(), at.node.inputs.begin() + static_cast<std::ptrdiff_t>(count));
    Arrays late = depends(arguments, cotangents);
    for (size_t i = 0; i < count; ++i)
      if (at.needed[i]) given.push_back(late[i]);
    const GradTrace trace(given);
    auto traced = trace.inputs().begin();
    for (size_t i = 0; i < count; ++i)
      if (at.needed[i]) late[i] = *traced++;
    const Arrays found = trace.pull_back(Again(arguments, late).make(outputs), cotangents);
    Grads grads(at.node.inputs.size());
    auto next = found.begin();
    for (size_t i = 0; i < count; ++i)
      if (at.needed[i]) grads[i] = *next++;
    return grads;
  }

  // Tangents are a function of the arguments and their tangents: these, too, are computed again where they are
  // differentiated.
  Arrays jvp(const JvpArgs& at) const override {
    Arrays arguments, moving;
    for (size_t i = 0; i + at.outputs.size() < at.inputs.size(); ++i) {
      arguments.push_back(at.inputs[i]);
      if (at.tangents[i].defined()) arguments.push_back(at.tangents[i]);
    }
    Arrays tangents = CallRules::jvp(at);
    for (const Array& t : tangents)
      if (t.defined()) moving.push_back(t);
    const Arrays called = custom_call(std::make_shared<Recompute>(), arguments, moving);
    auto next = called.begin();
    for (Array& t : tangents)
      if (t.defined()) t = *next++;
    return tangents;
  }

  VmapResult vmap(const VmapArgs& at, size_t arguments) const override {
    VmapResult out = CallRules::vmap(at, arguments);
    const auto first = at.inputs.begin();
    out.outputs = custom_call(std::make_shared<Recompute>(),
                              Arrays(first, first + static_cast<std::ptrdiff_t>(arguments)), out.outputs);
    return out;
  }
};

struct OpenTrace {
  const uint64_t level = open_trace();
  OpenTrace() = default;
  ~OpenTrace() { close_trace(level); }
  OpenTrace(const OpenTrace&) = delete;
  OpenTrace& operator=(const OpenTrace&) = delete;
};

/// What nodes made since `level` was opened read of what was there before, and whether one of them was evaluated.
struct Captured {
  Arrays arrays;
  bool evaluated = false;

  Captured(const Arrays& outputs, const Arrays& known, uint64_t level) : arrays(known) {
    std::unordered_set<const Node*> seen;
    std::set<std::pair<const Node*, uint32_t>> listed;
    for (const Array& a : known) listed.insert({a.node(), a.index()});
    std::vector<Node*> work;
    const auto enter = [&](const Array& a) {
      Node* node = a.node();
      if (node->level >= level) {
        if (!seen.insert(node).second) return;
        evaluated |= node->done();
        work.push_back(node);
      } else if (!(node->done() && node->level == 0) && node->op->kind != OpKind::constant &&
                 listed.insert({node, a.index()}).second) {
        arrays.push_back(a);
      }
    };
    for (const Array& a : outputs) enter(a);
    while (!work.empty()) {
      const Node* node = work.back();
      work.pop_back();
      for (const Array& in : node->inputs) enter(in);
    }
  }
};

/// Gives results that were evaluated to the nodes made again.
Arrays with_values_of(const Arrays& outputs, Arrays again) {
  for (size_t i = 0; i < outputs.size(); ++i) {
    Node& from = *outputs[i].node();
    Node& to = *again[i].node();
    if (!from.done() || to.done()) continue;
    for (const Storage& s : from.storages) to.storages.push_back(s);
    to.state.store(Node::State::done, std::memory_order_release);
  }
  return again;
}

}  // namespace

Function checkpoint(Function f, std::string name) {
  return [f = std::move(f), name = std::move(name)](const Arrays& primals) {
    const TransformScope scope(name);
    if (!any_trace_open()) return f(primals);
    Arrays outputs;
    uint64_t level = 0;
    {
      const OpenTrace trace;
      const LevelFloor floor(trace.level);
      level = trace.level;
      Arrays placed;
      for (const Array& p : primals) placed.push_back(concrete_placeholder(p, level));
      outputs = f(placed);
    }
    const Captured captured(outputs, primals, level);
    // What f evaluated, and the trace would keep, is forgotten: the same nodes without values take their place.
    if (captured.evaluated) outputs = with_values_of(outputs, Again(captured.arrays, captured.arrays).make(outputs));
    return custom_call(std::make_shared<Recompute>(), captured.arrays, outputs);
  };
}

}  // namespace plait
