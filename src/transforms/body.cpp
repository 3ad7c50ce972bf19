#include "transforms/body.h"

#include <algorithm>
#include <mutex>
#include <unordered_map>
#include <unordered_set>
#include <utility>

#include "graph/numbers.h"
#include "graph/op.h"
#include "transforms/program.h"
#include "transforms/trace.h"

namespace plait {
namespace {

Shape mapped(const Shape& shape, const DimMap& map) {
  Shape out;
  for (const Dim& d : shape) out.push_back(map(d));
  return out;
}

Ref<AttrsBase> mapped(const Node& node, const DimMap& map) {
  Ref<AttrsBase> attrs = node.attrs->clone();
  for (const auto& field : node.op->attrs) field->map_dims(attrs->mutable_data(), map);
  return attrs;
}

// A number that a compiled function was given is another one in each call: it is captured, as an array is.
bool is_given(const Node& node) {
  const NumberScope* given = NumberScope::current();
  return given && given->id_of(&node) != 0;
}

bool is_number(const Node& node) {
  return node.op->kind == OpKind::constant && node.op != &evaluated_op() && !is_given(node);
}

// The number that the node repeats, if it does. Such nodes, like numbers, cost nothing inside a region: they are made
// where they are used.
Array repeated_number(const Node& node) {
  if (node.op->kind != OpKind::view) return Array();
  const std::lock_guard lock(graph_mutex());  // another thread may be dropping the inputs of what it has evaluated
  return node.inputs.size() == 1 && is_number(*node.inputs[0].node()) ? node.inputs[0] : Array();
}

}  // namespace

// ---- Body -----------------------------------------------------------------------------------------------------------

Dim Body::at(Dim d) const {
  if (d.expr() == 0) return d;
  return dims_[(*place_of_expr_)[d.expr()]];
}

Avals Body::arguments() const {
  Avals out;
  for (const Array& a : program_->placeholders())
    out.push_back({mapped(a.shape(), [&](Dim d) { return at(d); }), a.dtype()});
  return out;
}

Avals Body::results() const {
  check_internal(program_ != nullptr, "a loop or branch without a program");
  Avals out;
  for (const Program::Link& link : program_->results()) {
    const Aval& aval = link.from == Program::Link::From::input ? program_->placeholders()[link.at].node()->avals[0]
                                                               : program_->steps()[link.at].node->avals[link.output];
    out.push_back({mapped(aval.shape, [&](Dim d) { return at(d); }), aval.dtype});
  }
  return out;
}

Arrays Body::operator()(const Arrays& inputs) const {
  const auto& steps = program_->steps();
  const DimMap map = [&](Dim d) { return at(d); };
  std::vector<Ref<Node>> made(steps.size());
  const auto source = [&](const Program::Link& link) {
    return link.from == Program::Link::From::input ? inputs[link.at] : Array(made[link.at], link.output);
  };
  for (size_t i = 0; i < steps.size(); ++i) {
    const Program::Step& step = steps[i];
    SmallVector<Array, 2> in;
    in.reserve(step.inputs.size());
    for (const Program::Link& link : step.inputs) in.push_back(source(link));
    Avals avals;
    for (const Aval& aval : step.node->avals)
      avals.push_back(dims_.empty() ? aval : Aval{mapped(aval.shape, map), aval.dtype});
    made[i] = make_node_as(*step.node, step.symbolic_attrs ? mapped(*step.node, map) : step.node->attrs, std::move(in),
                           std::move(avals));
  }
  Arrays out;
  for (const Program::Link& link : program_->results()) out.push_back(source(link));
  return out;
}

std::vector<bool> Body::reached(const std::vector<bool>& from, bool as_tangent) const {
  const auto& steps = program_->steps();
  std::vector<bool> moved(steps.size());
  const auto marked = [&](const Program::Link& link) {
    if (link.from == Program::Link::From::input)
      return from[link.at] && (!as_tangent || is_inexact(program_->placeholders()[link.at].dtype()));
    return moved[link.at] && (!as_tangent || is_inexact(steps[link.at].node->avals[link.output].dtype));
  };
  for (size_t i = 0; i < steps.size(); ++i) {
    if (as_tangent && !steps[i].node->op->not_differentiable.empty()) continue;
    moved[i] = std::any_of(steps[i].inputs.begin(), steps[i].inputs.end(), marked);
  }
  std::vector<bool> out;
  for (const Program::Link& link : program_->results()) out.push_back(marked(link));
  return out;
}

std::vector<bool> Body::used() const {
  std::vector<bool> used(program_->placeholders().size());
  const auto note = [&](const Program::Link& link) {
    if (link.from == Program::Link::From::input) used[link.at] = true;
  };
  for (const Program::Step& step : program_->steps())
    for (const Program::Link& link : step.inputs) note(link);
  for (const Program::Link& link : program_->results()) note(link);
  return used;
}

void Body::map_dims(const DimMap& map) {
  for (Dim& d : dims_) d = map(d);
}

std::string Body::describe() const {
  if (!program_) return "no program";
  return "a program of " + std::to_string(program_->steps().size()) + " operations";
}

// ---- BodyTrace ------------------------------------------------------------------------------------------------------

BodyTrace::BodyTrace(const char* name, const Function& f, const Avals& inputs) : level_(open_trace()) {
  struct Close {
    uint64_t level;
    ~Close() { close_trace(level); }
  } close{level_};
  for (const Aval& aval : inputs) placeholders_.push_back(abstract_placeholder(aval, level_));
  {
    const TransformScope scope(name);
    outputs_ = f(placeholders_);
  }

  struct Frame {
    Own own;
    uint32_t next;
  };
  std::vector<Frame> stack;
  std::unordered_set<const Node*> seen;
  for (const Array& p : placeholders_) seen.insert(p.node());
  // Nodes older than the trace are captured as they are.
  const auto enter = [&](const Array& a) {
    Node* node = a.node();
    if (seen.contains(node) || is_given(*node)) return;
    Own own{node, {}};
    if (node->level >= level_ && !node->done()) {
      own.inputs = node->inputs;
    } else if (!is_number(*node)) {
      const Array number = repeated_number(*node);
      if (!number.defined()) return;
      own.inputs.push_back(number);
    }
    seen.insert(node);
    stack.push_back({std::move(own), 0});
  };
  for (const Array& out : outputs_) {
    enter(out);
    while (!stack.empty()) {
      Frame& top = stack.back();
      if (top.next < top.own.inputs.size()) {
        const Array in = top.own.inputs[top.next++];
        enter(in);
        continue;
      }
      own_.push_back(std::move(top.own));
      stack.pop_back();
    }
  }
}

bool BodyTrace::uses(size_t i) const {
  const Node* input = placeholders_[i].node();
  const auto is_input = [&](const Array& a) { return a.node() == input; };
  return std::any_of(outputs_.begin(), outputs_.end(), is_input) ||
         std::any_of(own_.begin(), own_.end(),
                     [&](const Own& own) { return std::any_of(own.inputs.begin(), own.inputs.end(), is_input); });
}

void BodyTrace::find_captured(Arrays& captured) const {
  std::unordered_set<const Node*> known;
  for (const Own& own : own_) known.insert(own.node);
  for (const Array& p : placeholders_) known.insert(p.node());
  const auto note = [&](const Array& a) {
    if (known.contains(a.node())) return;
    if (std::none_of(captured.begin(), captured.end(), [&](const Array& c) { return c.same(a); }))
      captured.push_back(a);
  };
  for (const Own& own : own_)
    for (const Array& in : own.inputs) note(in);
  for (const Array& out : outputs_) note(out);
}

Body BodyTrace::close(const Arrays& captured, const std::vector<bool>& taken) const {
  Arrays inputs;
  std::unordered_map<const Node*, Array> stands_for;
  std::vector<std::pair<Array, Array>> outer;
  for (const Array& c : captured) {
    inputs.push_back(abstract_placeholder({c.shape(), c.dtype()}, level_));
    outer.emplace_back(c, inputs.back());
  }
  for (size_t i = 0; i < placeholders_.size(); ++i) {
    if (!taken[i]) continue;
    inputs.push_back(placeholders_[i]);
    stands_for.emplace(placeholders_[i].node(), placeholders_[i]);
  }
  const auto inside = [&](const Array& a) -> Array {
    if (const auto it = stands_for.find(a.node()); it != stands_for.end())
      return Array(it->second.handle(), it->second.index() + a.index());  // one of the two is 0
    const auto it = std::find_if(outer.begin(), outer.end(), [&](const auto& pair) { return pair.first.same(a); });
    check_internal(it != outer.end(), "a body refers to an array that is no input of it");
    return it->second;
  };
  std::vector<Dim> symbols;
  for (const auto& [node, inputs_of_node] : own_) {
    SmallVector<Array, 2> in;
    for (const Array& a : inputs_of_node) in.push_back(inside(a));
    if (node->op->kind == OpKind::placeholder) {  // of a transform inside: the value that it stood for
      stands_for[node] = in[0];
      continue;
    }
    for (const Aval& aval : node->avals)
      for (const Dim& d : aval.shape)
        if (d.expr() != 0) symbols.push_back(d);
    if (DimScope::current() != nullptr) {
      const std::vector<Dim> own = symbols_of(*node);
      symbols.insert(symbols.end(), own.begin(), own.end());
    }
    stands_for[node] = Array(make_node_as(*node, node->attrs, std::move(in), node->avals), 0);
  }
  for (const Array& input : inputs)
    for (const Dim& d : input.shape())
      if (d.expr() != 0) symbols.push_back(d);
  Arrays outputs;
  for (const Array& out : outputs_) outputs.push_back(inside(out));

  Body body;
  body.program_ = std::make_shared<const Program>(std::move(inputs), outputs);
  check_internal(body.program_->constants().empty(), "a body has free variables");
  auto places = std::make_shared<std::vector<uint32_t>>();
  for (const Dim& d : symbols) {
    if (places->size() <= d.expr()) places->resize(d.expr() + 1, ~0u);
    if ((*places)[d.expr()] != ~0u) continue;
    (*places)[d.expr()] = static_cast<uint32_t>(body.dims_.size());
    body.dims_.push_back(d);
  }
  body.place_of_expr_ = std::move(places);
  return body;
}

}  // namespace plait
