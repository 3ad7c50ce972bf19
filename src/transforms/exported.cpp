#include "transforms/exported.h"

#include <tuple>

#include "ops/transform/custom_call.h"
#include "transforms/body.h"
#include "transforms/trace.h"

namespace plait {
namespace {

using Link = Program::Link;

void check_exportable(const Node& node, const OpDef& op) {
  const auto reject = [&](std::string why) {
    throw TransformError({.op = op.name,
                          .got = "this op cannot be exported: " + std::move(why),
                          .accepts = "ops whose fields say all about them",
                          .where = describe_source(node.source)});
  };
  if (!op.no_export.empty()) reject(op.no_export);
  if (op.effect) reject("it has an effect beside its result");
  const bool described = op.kind == OpKind::control || attrs_described(op);  // loops and branches set theirs up by hand
  if (!described) reject("it has attributes that no field describes");
  if (op.kind != OpKind::elementwise && op.kind != OpKind::constant && !op.check)
    reject("it has no check of its operands");
  if (node.inputs.size() > UINT32_MAX || node.avals.size() > UINT32_MAX) reject("it has too many operands");
  for (const Aval& aval : node.avals)
    if (aval.shape.size() > kMaxExportedRank) reject("its result has " + std::to_string(aval.shape.size()) + " axes");
}

/// Derivatives of a call that are not those of its operations.
CallRules::Own own_rules(const Node& node) {
  const CallRules* rules = rules_of_call(node);
  return rules ? rules->own() : CallRules::Own();
}

/// Whether the node's results are its last inputs, and no more: the argument of a transform inside of the function, which
/// has a value, and a call whose rules change no derivative.
bool passes_on(const Node& node) {
  if (node.op->kind == OpKind::placeholder) return true;
  const CallRules::Own own = own_rules(node);
  return rules_of_call(node) != nullptr && !own.vjp && !own.jvp;
}

[[noreturn]] void reject_outer(const Node& node) {
  throw TransformError({.op = "export_function",
                        .got = "a function that uses an argument of a transform around the export",
                        .accepts = "functions of their own arguments",
                        .hint = "export the function that the transform makes",
                        .where = describe_source(node.source)});
}

Aval mapped(const Aval& aval, const DimMap& map) {
  Aval out{{}, aval.dtype};
  for (const Dim& d : aval.shape) out.shape.push_back(map(d));
  return out;
}

Aval plain(const Aval& aval) {
  return mapped(aval, [](Dim d) { return Dim(d.value()); });
}

std::shared_ptr<const ExportedBody> exported_body(const Body& body, const DimMap& map, int depth);

/// The steps of one program. `map` makes its extents those of the file.
class Steps {
 public:
  Steps(const Program& program, const DimMap& map, uint64_t level, ConstantTable* constants, int depth)
      : program_(program), map_(map), constants_(constants), numbers_(program.steps().size()) {
    for (size_t i = 0; i < numbers_.size(); ++i) {
      const Program::Step& step = program.steps()[i];
      const Node& node = *step.node;
      if (node.op->kind == OpKind::placeholder && (node.level < level || step.inputs.empty())) reject_outer(node);
      if (passes_on(node)) {
        numbers_[i] = kPassed;
        continue;
      }
      numbers_[i] = static_cast<uint32_t>(made.size());
      made.push_back(exported(step, depth));
    }
  }

  Link link(Link from) {
    while (from.from == Link::From::step && numbers_[from.at] == kPassed) {
      const Program::Step& step = program_.steps()[from.at];
      from = step.inputs[step.inputs.size() - step.node->avals.size() + from.output];
    }
    if (from.from == Link::From::input) return from;
    if (from.from == Link::From::step) return {from.from, numbers_[from.at], from.output};
    check_internal(constants_ != nullptr, "a body has constants");
    return {from.from, constants_->number(program_.constants()[from.at]), 0};
  }

  std::vector<ExportedStep> made;

 private:
  static constexpr uint32_t kPassed = ~0u;

  ExportedStep exported(const Program::Step& step, int depth) {
    const Node& node = *step.node;
    ExportedStep out{node.op, {}, {}, {}};
    for (const Link& in : step.inputs) out.inputs.push_back(link(in));
    if (rules_of_call(node)) std::tie(out.op, out.attrs) = call_without_rules(node.avals.size(), own_rules(node));
    check_exportable(node, *out.op);
    if (out.attrs || !node.attrs || node.op->attrs.empty()) return out;
    out.attrs = node.attrs->clone();
    for (const auto& field : node.op->attrs) {
      field->map_dims(out.attrs->mutable_data(), map_);
      if (const AnyBodyField* body = AnyBodyField::of(*field))
        out.bodies.push_back(exported_body(body->body(node.attrs->data()), map_, depth + 1));
    }
    return out;
  }

  const Program& program_;
  const DimMap& map_;
  ConstantTable* constants_;
  std::vector<uint32_t> numbers_;  // in the file, of each step of the program; kPassed for those that pass inputs on
};

std::shared_ptr<const ExportedBody> exported_body(const Body& body, const DimMap& map, int depth) {
  if (depth > kMaxExportedDepth)
    throw TransformError({.op = "export_function",
                          .got = "loops and branches " + std::to_string(depth) + " deep in each other",
                          .accepts = "at most " + std::to_string(kMaxExportedDepth)});
  const DimMap inner = [&](Dim d) { return map(body.at(d)); };
  auto out = std::make_shared<ExportedBody>();
  for (const Array& a : body.program().placeholders()) out->inputs.push_back(mapped({a.shape(), a.dtype()}, inner));
  Steps steps(body.program(), inner, 0, nullptr, depth);
  for (const Link& result : body.program().results()) out->results.push_back(steps.link(result));
  out->steps = std::move(steps.made);
  return out;
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
  ExportedTrace trace;
  trace.positional = static_cast<uint32_t>(program.placeholders().size() - keywords.size());
  trace.keywords = std::move(keywords);
  trace.shapeless = shapeless;
  for (const Array& a : program.placeholders()) trace.inputs.push_back(plain({a.shape(), a.dtype()}));
  if (shapeless) trace.record = program.record();
  const uint64_t level = program.placeholders().empty() ? 0 : program.placeholders()[0].node()->level;
  const DimMap map = [shapeless](Dim d) { return shapeless ? d : Dim(d.value()); };
  Steps steps(program, map, level, &constants, 0);
  const auto aval = [&](const Link& from) {
    if (from.from == Link::From::input) return trace.inputs[from.at];
    if (from.from == Link::From::step) return plain(program.steps()[from.at].node->avals[from.output]);
    const Array& a = program.constants()[from.at];
    return plain({a.shape(), a.dtype()});
  };
  for (const Link& result : program.results()) {
    trace.outputs.push_back(aval(result));
    trace.results.push_back(steps.link(result));
  }
  trace.steps = std::move(steps.made);
  return trace;
}

}  // namespace plait
