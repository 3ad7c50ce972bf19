// The one place where attributes from a file become nodes: nothing of them is trusted.
#include "graph/dims.h"
#include "transforms/body.h"
#include "transforms/control/scan.h"
#include "transforms/exported.h"

namespace plait {
namespace {

using Link = Program::Link;

[[noreturn]] void reject_guard(std::string got) {
  throw ArgumentError({.op = "imported function",
                       .got = std::move(got),
                       .accepts = "extents for which the function decides as it did when it was exported"});
}

Dim apply(char op, Dim a, Dim b) {
  switch (op) {
    case '+': return a + b;
    case '-': return a - b;
    case '*': return a * b;
    default: return b > 0 ? a / b : Dim(0);
  }
}

/// The trace's expressions for the extents of these inputs. Errors: ArgumentError where a guard does not hold.
std::vector<Dim> values_of(const DimScope::Record& record, const Arrays& inputs) {
  std::vector<Dim> variables;
  for (const Array& a : inputs) variables.insert(variables.end(), a.shape().begin(), a.shape().end());
  std::vector<Dim> values(record.exprs.size());
  for (size_t i = 1; i < values.size(); ++i) {
    const auto& e = record.exprs[i];
    values[i] = e.op == 'v'   ? variables[static_cast<size_t>(e.constant)]
                : e.op == 'c' ? Dim(e.constant)
                              : apply(e.op, values[e.a], values[e.b]);
  }
  for (const auto& guard : record.guards) {
    const Dim a = values[guard.a];
    const bool holds = guard.op == 'f'   ? a == Dim(guard.constant)
                       : guard.op == '=' ? (a == values[guard.b]) == guard.result
                                         : (a < values[guard.b]) == guard.result;
    if (holds) continue;
    std::vector<int64_t> numbers;
    for (const Dim& d : values) numbers.push_back(d.value());
    reject_guard(record.why_not(numbers));
  }
  return values;
}

// What every op may rely on, whatever its own check says.
void check_results(const OpDef& op, const Avals& avals) {
  for (const Aval& aval : avals) {
    bool good = aval.shape.size() <= kMaxExportedRank;
    for (const Dim& d : aval.shape) good = good && d >= Dim(0);
    if (!good)
      throw ShapeError({.op = op.name,
                        .got = "a result of shape " + to_string(aval.shape),
                        .accepts = "up to " + std::to_string(kMaxExportedRank) + " extents of 0 and more"});
  }
}

/// Makes nodes of steps, for the extents at hand.
class Runner {
 public:
  Runner(const Arrays& constants, const std::vector<Dim>& values) : constants_(constants), values_(values) {}

  Arrays run(const std::vector<ExportedStep>& steps, const std::vector<Link>& results, const Arrays& inputs) const {
    std::vector<Ref<Node>> made;
    made.reserve(steps.size());
    const auto source = [&](const Link& link) {
      if (link.from == Link::From::input) return inputs[link.at];
      return link.from == Link::From::step ? result_of(made[link.at], link.output) : constants_[link.at];
    };
    for (const ExportedStep& step : steps) {
      SmallVector<Array, 2> in;
      in.reserve(step.inputs.size());
      for (const Link& link : step.inputs) in.push_back(source(link));
      made.push_back(node(step, std::move(in)));
    }
    Arrays out;
    for (const Link& link : results) out.push_back(source(link));
    return out;
  }

 private:
  static Array result_of(const Ref<Node>& node, uint32_t output) {
    if (output >= node->avals.size() || !control::gives(*node, output))
      throw ArgumentError({.op = node->op->name,
                           .got = "result number " + std::to_string(output),
                           .accepts = std::to_string(node->avals.size()) + " results"});
    return Array(node, output);
  }

  Ref<Node> node(const ExportedStep& step, SmallVector<Array, 2> inputs) const {
    Ref<AttrsBase> attrs = attrs_of(step);
    std::vector<Aval> avals;
    for (const Array& in : inputs) avals.push_back({in.shape(), in.dtype()});
    check_operands(*step.op, attrs.get(), avals);
    check_results(*step.op, step.op->infer(attrs.get(), avals));
    return make_node(*step.op, std::move(attrs), std::move(inputs));
  }

  Dim at(Dim d) const { return d.expr() == 0 ? d : values_[d.expr()]; }

  Ref<AttrsBase> attrs_of(const ExportedStep& step) const {
    if (!step.attrs || (values_.size() < 2 && step.bodies.empty())) return step.attrs;  // the first value is unused
    // Made anew: what a struct holds beside its fields, or shares with its copies, is this node's own.
    Ref<AttrsBase> attrs = step.bodies.empty() ? step.attrs->clone() : step.op->default_attrs();
    size_t next = 0;
    for (const auto& field : step.op->attrs) {
      if (const AnyBodyField* body = AnyBodyField::of(*field)) {
        body->set_body(attrs->mutable_data(), body_of(*step.op, *step.bodies[next++]));
        continue;
      }
      if (!step.bodies.empty()) field->set(attrs->mutable_data(), field->get(step.attrs->data()));
      field->map_dims(attrs->mutable_data(), [&](Dim d) { return at(d); });
    }
    return attrs;
  }

  Body body_of(const OpDef& op, const ExportedBody& body) const {
    Avals inputs;
    for (const Aval& in : body.inputs) {
      inputs.push_back({{}, in.dtype});
      for (const Dim& d : in.shape) inputs.back().shape.push_back(at(d));
    }
    check_results(op, inputs);
    const BodyTrace trace(op.name.c_str(), [&](const Arrays& in) { return run(body.steps, body.results, in); }, inputs);
    return trace.close({}, std::vector<bool>(inputs.size(), true));
  }

  const Arrays& constants_;
  const std::vector<Dim>& values_;
};

}  // namespace

std::string why_not(const ExportedTrace& trace, const Arrays& inputs) {
  for (size_t i = 0; i < inputs.size(); ++i) {
    const Aval& want = trace.inputs[i];
    if (inputs[i].dtype() != want.dtype) return "another dtype";
    if (inputs[i].rank() != want.shape.rank()) return "another number of axes";
    if (!trace.shapeless && !(inputs[i].shape() == want.shape)) return "another shape";
  }
  if (!trace.shapeless) return "";
  try {
    values_of(trace.record, inputs);
  } catch (const ArgumentError& e) {
    return e.info().got;
  }
  return "";
}

Arrays run(const ExportedTrace& trace, const Arrays& constants, const Arrays& inputs) {
  const std::vector<Dim> values = values_of(trace.record, inputs);
  return Runner(constants, values).run(trace.steps, trace.results, inputs);
}

}  // namespace plait
