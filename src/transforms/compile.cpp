#include <deque>
#include <mutex>
#include <unordered_map>

#include "base/trace.h"
#include "graph/dims.h"
#include "plait/transforms.h"
#include "transforms/trace.h"

namespace plait {
namespace {

constexpr size_t kMaxTraces = 64;  // per function and structure; the oldest goes

// Dims of avals and attributes as expressions of one trace.
Dim at(Dim d, const std::vector<int64_t>& values) { return d.expr() == 0 ? d : Dim(values[d.expr()]); }

Shape at(const Shape& shape, const std::vector<int64_t>& values) {
  Shape out;
  out.reserve(shape.size());
  for (const Dim& d : shape) out.push_back(at(d, values));
  return out;
}

bool has_symbols(const Shape& shape) {
  for (const Dim& d : shape)
    if (d.expr() != 0) return true;
  return false;
}

bool has_symbols(const Node& node) {
  if (!node.attrs) return false;
  for (const auto& field : node.op->attrs) {
    if (!field->bound) continue;
    const AttrValue value = field->get(node.attrs->data());
    if (const Dim* d = std::get_if<Dim>(&value); d && d->expr() != 0) return true;
    if (const Shape* s = std::get_if<Shape>(&value); s && has_symbols(*s)) return true;
  }
  return false;
}

/// One traced graph, ready to be rebuilt for other inputs.
class Trace {
 public:
  Trace(const Function& f, const Arrays& examples) : level_(open_trace()) {
    try {
      DimScope scope;
      for (const Array& example : examples) {
        Aval aval{{}, example.dtype()};
        for (const Dim& d : example.shape()) aval.shape.push_back(variable(scope, d));
        placeholders_.push_back(abstract_placeholder(std::move(aval), level_));
      }
      outputs_ = f(placeholders_);
      record_ = scope.record();
    } catch (...) {
      close_trace(level_);
      throw;
    }
    close_trace(level_);
    order();
  }

  bool fits(const Arrays& inputs, std::vector<int64_t>& values) const {
    if (!same_kinds(inputs)) return false;
    values = record_.values(extents(inputs));
    return record_.holds(values);
  }

  std::string why_not(const Arrays& inputs) const {
    return same_kinds(inputs) ? record_.why_not(record_.values(extents(inputs))) : "other dtypes or ranks";
  }

  Arrays replay(const Arrays& inputs, const std::vector<int64_t>& values) const {
    std::vector<Ref<Node>> made(steps_.size());
    const auto source = [&](const Link& link) -> Array {
      switch (link.from) {
        case Link::From::input: return inputs[link.at];
        case Link::From::step: return Array(made[link.at], link.output);
        default: return constants_[link.at];
      }
    };
    for (size_t i = 0; i < steps_.size(); ++i) {
      const Step& step = steps_[i];
      const Node& node = *step.node;
      SmallVector<Array, 2> in;
      in.reserve(step.inputs.size());
      for (const Link& link : step.inputs) in.push_back(source(link));
      Avals avals;
      for (const Aval& aval : node.avals) avals.push_back({at(aval.shape, values), aval.dtype});
      Ref<AttrsBase> attrs = node.attrs;
      if (step.symbolic_attrs) {
        attrs = attrs->clone();
        for (const auto& field : node.op->attrs)
          field->map_dims(attrs->mutable_data(), [&](Dim d) { return at(d, values); });
      }
      made[i] = make_node_as(node, std::move(attrs), std::move(in), std::move(avals));
    }
    Arrays out;
    for (const Link& link : results_) out.push_back(source(link));
    return out;
  }

 private:
  bool same_kinds(const Arrays& inputs) const {
    if (inputs.size() != placeholders_.size()) return false;
    for (size_t i = 0; i < inputs.size(); ++i)
      if (inputs[i].dtype() != placeholders_[i].dtype() || inputs[i].rank() != placeholders_[i].rank()) return false;
    return true;
  }

  struct Link {
    enum class From : uint8_t { input, step, constant } from;
    uint32_t at;
    uint32_t output = 0;
  };
  struct Step {
    Node* node;
    std::vector<Link> inputs;
    bool symbolic_attrs = false;
  };

  // Under an outer trace an extent is an expression there; inside it is a variable of this trace only.
  static Dim variable(DimScope& scope, Dim d) { return scope.variable(d.value()); }

  static std::vector<int64_t> extents(const Arrays& inputs) {
    std::vector<int64_t> out;
    for (const Array& a : inputs)
      for (const Dim& d : a.shape()) out.push_back(d.fixed());
    return out;
  }

  // Lists what has to be rebuilt: nodes that depend on an argument or hold an extent of one. All else is a constant.
  void order() {
    enum : uint32_t { kUnknown, kConstant, kStep };
    std::unordered_map<const Node*, std::pair<uint32_t, uint32_t>> known;  // node -> (what, number)
    for (uint32_t i = 0; i < placeholders_.size(); ++i) inputs_of_[placeholders_[i].node()] = i;
    struct Frame {
      Node* node;
      uint32_t next;
    };
    std::vector<Frame> stack;
    const auto link = [&](const Array& a) -> Link {
      if (const auto it = inputs_of_.find(a.node()); it != inputs_of_.end()) return {Link::From::input, it->second, 0};
      if (const auto it = known.find(a.node()); it != known.end() && it->second.first == kStep)
        return {Link::From::step, it->second.second, a.index()};
      constants_.push_back(a);
      return {Link::From::constant, static_cast<uint32_t>(constants_.size() - 1), 0};
    };
    for (const Array& out : outputs_) {
      stack.push_back({out.node(), 0});
      while (!stack.empty()) {
        auto& [node, next] = stack.back();
        if (known.contains(node) || inputs_of_.contains(node) || node->done()) {
          stack.pop_back();
          continue;
        }
        if (next < node->inputs.size()) {
          Node* in = node->inputs[next++].node();
          stack.push_back({in, 0});
          continue;
        }
        Node* finished = node;
        stack.pop_back();
        const bool symbolic = has_symbols(*finished);
        bool rebuilt = symbolic || finished->op->kind == OpKind::constant;  // numbers stay operands of the plan
        for (const Array& in : finished->inputs) {
          const auto it = known.find(in.node());
          rebuilt |= inputs_of_.contains(in.node()) || (it != known.end() && it->second.first == kStep);
        }
        if (!rebuilt) {
          known[finished] = {kConstant, 0};
          continue;
        }
        Step step{finished, {}, symbolic};
        for (const Array& in : finished->inputs) step.inputs.push_back(link(in));
        known[finished] = {kStep, static_cast<uint32_t>(steps_.size())};
        steps_.push_back(std::move(step));
      }
    }
    for (const Array& out : outputs_) results_.push_back(link(out));
  }

  uint64_t level_;
  Arrays placeholders_;
  Arrays outputs_;  // keep every node of the trace alive
  Arrays constants_;
  std::unordered_map<const Node*, uint32_t> inputs_of_;
  std::vector<Step> steps_;
  std::vector<Link> results_;
  DimScope::Record record_;
};

}  // namespace

struct CompiledFunction::State {
  Function f;
  std::mutex mutex;
  struct Numbered {
    std::shared_ptr<const Trace> trace;
    int64_t serial;
  };
  std::deque<Numbered> traces;  // newest first
  int64_t traced = 0;
};

CompiledFunction::CompiledFunction(Function f) : state_(std::make_unique<State>()) { state_->f = std::move(f); }
CompiledFunction::~CompiledFunction() = default;

int64_t CompiledFunction::trace_count() const {
  const std::lock_guard lock(state_->mutex);
  return state_->traced;
}

Arrays CompiledFunction::operator()(const Arrays& inputs, int64_t* number) {
  std::vector<int64_t> values;
  std::string why = "first call";
  {
    std::deque<State::Numbered> traces;
    {
      const std::lock_guard lock(state_->mutex);
      traces = state_->traces;
    }
    for (const auto& [trace, serial] : traces) {
      if (!trace->fits(inputs, values)) continue;
      if (number != nullptr) *number = serial;
      return trace->replay(inputs, values);
    }
    if (!traces.empty()) why = traces.front().trace->why_not(inputs);
  }
  trace::reason("traced", why);
  auto trace = std::make_shared<const Trace>(state_->f, inputs);
  {
    const std::lock_guard lock(state_->mutex);
    if (number != nullptr) *number = state_->traced;
    state_->traces.push_front({trace, state_->traced++});
    if (state_->traces.size() > kMaxTraces) state_->traces.pop_back();
  }
  check_internal(trace->fits(inputs, values), "a fresh trace does not fit the arguments it was made from");
  return trace->replay(inputs, values);
}

Function compile(Function f) {
  auto compiled = std::make_shared<CompiledFunction>(std::move(f));
  return [compiled](const Arrays& inputs) { return (*compiled)(inputs); };
}

}  // namespace plait
