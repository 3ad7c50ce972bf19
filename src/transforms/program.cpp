#include "transforms/program.h"

#include <algorithm>
#include <unordered_map>
#include <utility>

#include "base/trace.h"
#include "transforms/trace.h"

namespace plait {
namespace {

// Dims of avals and attributes as expressions of one trace.
Dim at(Dim d, const std::vector<int64_t>& values) { return d.expr() == 0 ? d : Dim(values[d.expr()]); }

Shape at(const Shape& shape, const std::vector<int64_t>& values) {
  Shape out;
  out.reserve(shape.size());
  for (const Dim& d : shape) out.push_back(at(d, values));
  return out;
}

}  // namespace

std::vector<Dim> symbols_of(const Node& node) {
  std::vector<Dim> found;
  const auto note = [&](Dim d) {
    if (d.expr() != 0) found.push_back(d);
    return d;
  };
  if (!node.attrs) return found;
  const Ref<AttrsBase> copy = node.attrs->clone();
  for (const auto& field : node.op->attrs) field->map_dims(copy->mutable_data(), note);
  return found;
}

namespace {

bool has_symbols(const Shape& shape) {
  for (const Dim& d : shape)
    if (d.expr() != 0) return true;
  return false;
}

bool has_symbols(const Node& node) {
  if (!node.attrs) return false;
  if (node.op->kind == OpKind::control) return !symbols_of(node).empty();
  for (const auto& field : node.op->attrs) {
    if (!field->bound) continue;
    const AttrValue value = field->get(node.attrs->data());
    if (const Dim* d = std::get_if<Dim>(&value); d && d->expr() != 0) return true;
    if (const Shape* s = std::get_if<Shape>(&value); s && has_symbols(*s)) return true;
  }
  return false;
}

// Under an outer trace an extent is an expression there; inside it is a variable of this trace only.
Dim variable(DimScope& scope, Dim d) { return scope.variable(d.value()); }

std::vector<int64_t> extents(const Arrays& inputs) {
  std::vector<int64_t> out;
  for (const Array& a : inputs)
    for (const Dim& d : a.shape()) out.push_back(d.fixed());
  return out;
}

}  // namespace

Program::Program(const Function& f, const Arrays& examples, std::string_view name)
    : traced_under_(current_transforms()) {
  const TransformScope scope(name);
  const uint64_t level = open_trace();
  try {
    DimScope dims;
    const NumberScope numbers;
    for (const Array& example : examples) {
      Aval aval{{}, example.dtype()};
      for (const Dim& d : example.shape()) aval.shape.push_back(variable(dims, d));
      placeholders_.push_back(abstract_placeholder(std::move(aval), level));
    }
    const Arrays outputs = [&] {
      const LevelFloor floor(level);
      return f(placeholders_);
    }();
    record_ = dims.record();
    order(outputs, numbers, level);
  } catch (...) {
    close_trace(level);
    throw;
  }
  close_trace(level);
}

Program::Program(Arrays placeholders, const Arrays& outputs) : placeholders_(std::move(placeholders)) {
  order(outputs, NumberScope(), 0);
}

Program::~Program() = default;

bool Program::fits(const Arrays& inputs, std::vector<int64_t>& values) const {
  if (!same_kinds(inputs)) return false;
  values = record_.values(extents(inputs));
  return record_.holds(values);
}

std::string Program::why_not(const Arrays& inputs) const {
  return same_kinds(inputs) ? record_.why_not(record_.values(extents(inputs))) : "other dtypes or ranks";
}

bool Program::same_kinds(const Arrays& inputs) const {
  if (inputs.size() != placeholders_.size()) return false;
  for (size_t i = 0; i < inputs.size(); ++i)
    if (inputs[i].dtype() != placeholders_[i].dtype() || inputs[i].rank() != placeholders_[i].rank()) return false;
  return true;
}

Arrays Program::replay(const Arrays& inputs, const std::vector<int64_t>& values,
                       std::span<const Number> numbers) const {
  std::vector<Ref<Node>> made(steps_.size());
  const TransformsId now = current_transforms();
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
    if (step.number != 0) {
      const Array made_anew = constant(numbers[step.number - 1], node.avals[0].dtype);
      made[i] = Ref<Node>::share(made_anew.node());
      continue;
    }
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
    if (now != traced_under_) made[i]->source = source_under(node.source, traced_under_, now);
  }
  Arrays out;
  for (const Link& link : results_) out.push_back(source(link));
  return out;
}

// Lists what has to be rebuilt: nodes that depend on an argument or hold an extent of one. All else is a constant. Nodes older
// than the trace are none of its own: they may be losing their inputs to an evaluation right now.
void Program::order(const Arrays& outputs, const NumberScope& numbers, uint64_t level) {
  enum : uint32_t { kUnknown, kConstant, kStep };
  std::unordered_map<const Node*, uint32_t> inputs_of;
  std::unordered_map<const Node*, std::pair<uint32_t, uint32_t>> known;  // node -> (what, number)
  for (uint32_t i = 0; i < placeholders_.size(); ++i) inputs_of[placeholders_[i].node()] = i;
  struct Frame {
    Node* node;
    uint32_t next;
  };
  std::vector<Frame> stack;
  const auto link = [&](const Array& a) -> Link {
    if (const auto it = inputs_of.find(a.node()); it != inputs_of.end()) return {Link::From::input, it->second, 0};
    if (const auto it = known.find(a.node()); it != known.end() && it->second.first == kStep)
      return {Link::From::step, it->second.second, a.index()};
    constants_.push_back(a);
    return {Link::From::constant, static_cast<uint32_t>(constants_.size() - 1), 0};
  };
  for (const Array& out : outputs) {
    stack.push_back({out.node(), 0});
    while (!stack.empty()) {
      auto& [node, next] = stack.back();
      if (known.contains(node) || inputs_of.contains(node) || node->level < level || node->done()) {
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
        rebuilt |= inputs_of.contains(in.node()) || (it != known.end() && it->second.first == kStep);
      }
      if (!rebuilt) {
        known[finished] = {kConstant, 0};
        continue;
      }
      Step step{Ref<Node>::share(finished), {}, symbolic, numbers.id_of(finished)};
      for (const Array& in : finished->inputs) step.inputs.push_back(link(in));
      known[finished] = {kStep, static_cast<uint32_t>(steps_.size())};
      steps_.push_back(std::move(step));
    }
  }
  for (const Array& out : outputs) results_.push_back(link(out));
}

std::shared_ptr<Programs::Kept> Programs::find(Fits fits) {
  const auto used = [](std::shared_ptr<Kept> kept) {
    kept->calls.fetch_add(1, std::memory_order_relaxed);
    return kept;
  };
  std::shared_ptr<Kept> last;
  {
    const std::lock_guard lock(mutex_);
    if (kept_.empty()) return nullptr;
    last = kept_.front();
  }
  if (fits(*last)) return used(std::move(last));
  for (const std::shared_ptr<Kept>& kept : all()) {
    if (kept == last || !fits(*kept)) continue;
    const std::lock_guard lock(mutex_);
    const auto at = std::find(kept_.begin(), kept_.end(), kept);
    if (at != kept_.end()) std::rotate(kept_.begin(), at, at + 1);
    return used(kept);
  }
  return nullptr;
}

void Programs::add(std::shared_ptr<Kept> kept) {
  trace::reason("traced", kept->why);
  std::shared_ptr<Kept> dropped;  // after the lock is released
  const std::lock_guard lock(mutex_);
  kept->calls.fetch_add(1, std::memory_order_relaxed);
  kept_.insert(kept_.begin(), std::move(kept));
  ++made_;
  if (kept_.size() <= kMost) return;
  dropped = std::move(kept_.back());
  kept_.pop_back();
}

std::vector<std::shared_ptr<Programs::Kept>> Programs::all() const {
  const std::lock_guard lock(mutex_);
  return kept_;
}

int64_t Programs::made() const {
  const std::lock_guard lock(mutex_);
  return made_;
}

}  // namespace plait
