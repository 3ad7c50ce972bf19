#include "transforms/exported.h"

#include "ops/transform/custom_call.h"
#include "transforms/trace.h"

namespace plait {
namespace {

// ---- from a program -------------------------------------------------------------------------------------------------

void check_exportable(const Node& node) {
  const OpDef& op = *node.op;
  const auto reject = [&](std::string why) {
    throw TransformError({.op = op.name,
                          .got = "this op cannot be exported: " + std::move(why),
                          .accepts = "ops whose fields say all about them",
                          .where = describe_source(node.source)});
  };
  if (!op.no_export.empty()) reject(op.no_export);
  if (op.effect) reject("it has an effect beside its result");
  if (node.attrs && (!op.default_attrs || !attrs_described(op))) reject("it has attributes that no field describes");
  if (op.kind != OpKind::elementwise && op.kind != OpKind::constant && !op.check)
    reject("it has no check of its operands");
  if (node.inputs.size() > UINT32_MAX || node.avals.size() > UINT32_MAX) reject("it has too many operands");
  for (const Aval& aval : node.avals)
    if (aval.shape.size() > kMaxExportedRank) reject("its result has " + std::to_string(aval.shape.size()) + " axes");
}

constexpr uint32_t kPassed = ~0u;

/// Whether the node's results are its last inputs, and no more: the argument of a transform inside of the function, which
/// has a value, and a call whose rules change no derivative.
bool passes_on(const Node& node) {
  if (node.op->kind == OpKind::placeholder) return true;
  const CallRules* rules = rules_of_call(node);
  return rules != nullptr && rules->as_without();
}

[[noreturn]] void reject_outer(const Node& node) {
  throw TransformError({.op = "export_function",
                        .got = "a function that uses an argument of a transform around the export",
                        .accepts = "functions of their own arguments",
                        .hint = "export the function that the transform makes",
                        .where = describe_source(node.source)});
}

Ref<AttrsBase> without_symbols(const Node& node) {
  if (!node.attrs) return node.attrs;
  Ref<AttrsBase> attrs = node.attrs->clone();
  for (const auto& field : node.op->attrs) field->map_dims(attrs->mutable_data(), [](Dim d) { return Dim(d.value()); });
  return attrs;
}

Aval plain(const Aval& aval) {
  Aval out{{}, aval.dtype};
  for (const Dim& d : aval.shape) out.shape.push_back(d.value());
  return out;
}

// ---- running --------------------------------------------------------------------------------------------------------

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

Ref<AttrsBase> attrs_for(const ExportedTrace::Step& step, const std::vector<Dim>& values) {
  if (!step.attrs || values.size() < 2) return step.attrs;  // no expression but the unused first
  Ref<AttrsBase> attrs = step.attrs->clone();
  for (const auto& field : step.op->attrs)
    field->map_dims(attrs->mutable_data(), [&](Dim d) { return d.expr() == 0 ? d : values[d.expr()]; });
  return attrs;
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

Ref<Node> checked_node(const ExportedTrace::Step& step, Ref<AttrsBase> attrs, SmallVector<Array, 2> inputs) {
  std::vector<Aval> avals;
  for (const Array& in : inputs) avals.push_back({in.shape(), in.dtype()});
  check_operands(*step.op, attrs.get(), avals);
  check_results(*step.op, step.op->infer(attrs.get(), avals));
  return make_node(*step.op, std::move(attrs), std::move(inputs));
}

}  // namespace

ConstantTable::ConstantTable(Arrays& into) : arrays_(into) {
  for (uint32_t i = 0; i < arrays_.size(); ++i) known_[arrays_[i].node()].emplace_back(arrays_[i].index(), i);
}

uint32_t ConstantTable::number(const Array& a) {
  auto& outputs = known_[a.node()];
  for (const auto& [output, number] : outputs)
    if (output == a.index()) return number;
  arrays_.push_back(a);
  outputs.emplace_back(a.index(), static_cast<uint32_t>(arrays_.size() - 1));
  return outputs.back().second;
}

ExportedTrace exported(const Program& program, std::vector<std::string> keywords, bool shapeless,
                       ConstantTable& constants) {
  using Link = ExportedTrace::Link;
  ExportedTrace trace;
  trace.positional = static_cast<uint32_t>(program.placeholders().size() - keywords.size());
  trace.keywords = std::move(keywords);
  trace.shapeless = shapeless;
  for (const Array& a : program.placeholders()) trace.inputs.push_back(plain({a.shape(), a.dtype()}));
  if (shapeless) trace.record = program.record();

  const auto& steps = program.steps();
  std::vector<uint32_t> numbers(steps.size());  // of the steps in the file; kPassed for those that pass inputs on
  const auto link = [&](Link from) {
    while (from.from == Link::From::step && numbers[from.at] == kPassed) {
      const Program::Step& step = steps[from.at];
      from = step.inputs[step.inputs.size() - step.node->avals.size() + from.output];
    }
    if (from.from == Link::From::constant) return Link{from.from, constants.number(program.constants()[from.at]), 0};
    return from.from == Link::From::step ? Link{from.from, numbers[from.at], from.output} : from;
  };
  const uint64_t level = program.placeholders().empty() ? 0 : program.placeholders()[0].node()->level;
  for (size_t i = 0; i < steps.size(); ++i) {
    const Program::Step& step = steps[i];
    const Node& node = *step.node;
    if (node.op->kind == OpKind::placeholder && (node.level < level || step.inputs.empty())) reject_outer(node);
    if (passes_on(node)) {
      numbers[i] = kPassed;
      continue;
    }
    check_exportable(node);
    ExportedTrace::Step out{node.op, shapeless ? node.attrs : without_symbols(node), {}};
    for (const Link& in : step.inputs) out.inputs.push_back(link(in));
    numbers[i] = static_cast<uint32_t>(trace.steps.size());
    trace.steps.push_back(std::move(out));
  }
  const auto aval = [&](const Link& from) {
    if (from.from == Link::From::input) return trace.inputs[from.at];
    if (from.from == Link::From::step) return plain(steps[from.at].node->avals[from.output]);
    const Array& a = program.constants()[from.at];
    return plain({a.shape(), a.dtype()});
  };
  for (const Link& result : program.results()) {
    trace.outputs.push_back(aval(result));
    trace.results.push_back(link(result));
  }
  return trace;
}

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
  std::vector<Ref<Node>> made;
  made.reserve(trace.steps.size());
  const auto source = [&](const ExportedTrace::Link& link) -> Array {
    switch (link.from) {
      case ExportedTrace::Link::From::input: return inputs[link.at];
      case ExportedTrace::Link::From::step:
        if (link.output >= made[link.at]->avals.size())
          throw ArgumentError({.op = made[link.at]->op->name,
                               .got = "result number " + std::to_string(link.output),
                               .accepts = std::to_string(made[link.at]->avals.size()) + " results"});
        return Array(made[link.at], link.output);
      default: return constants[link.at];
    }
  };
  for (const ExportedTrace::Step& step : trace.steps) {
    SmallVector<Array, 2> in;
    in.reserve(step.inputs.size());
    for (const auto& link : step.inputs) in.push_back(source(link));
    made.push_back(checked_node(step, attrs_for(step, values), std::move(in)));
  }
  Arrays out;
  for (const auto& link : trace.results) out.push_back(source(link));
  return out;
}

}  // namespace plait
