#include "ops/transform/custom_call.h"

namespace plait {
namespace {

struct WithoutRulesAttrs {
  int64_t outputs = 1;
  bool vjp = false, jvp = false;  // what had a rule
};

Avals infer(const WithoutRulesAttrs& attrs, std::span<const Aval> in) {
  const std::span<const Aval> last = in.last(static_cast<size_t>(attrs.outputs));
  return Avals(last.begin(), last.end());
}

const char* check(const WithoutRulesAttrs& attrs, std::span<const Aval> in) {
  const bool fits = attrs.outputs >= 1 && static_cast<uint64_t>(attrs.outputs) <= in.size();
  return fits ? nullptr : "one output or more, the last of the inputs";
}

[[noreturn]] void refuse(const Node& node, const char* rule, const char* hint) {
  throw TransformError(
      {.op = "import_function",
       .got = std::string("the ") + rule + " of a custom_function, whose rule is code of the program that exported it",
       .accepts = "functions whose derivatives follow from their operations",
       .hint = hint,
       .where = describe_source(node.source)});
}

// Derivatives that had no rule are those of the operations that made the outputs.
Grads vjp(const WithoutRulesAttrs& attrs, const VjpArgs& at) {
  if (attrs.vjp) refuse(at.node, "gradient", "export the gradient instead: export_function(file, grad(f), ...)");
  return CallRules().vjp(at);
}

Arrays jvp(const WithoutRulesAttrs& attrs, const JvpArgs& at) {
  if (attrs.jvp) refuse(*at.outputs[0].node(), "tangent", "export a function that calls jvp instead");
  return CallRules().jvp(at);
}

VmapResult vmap(const WithoutRulesAttrs& attrs, const VmapArgs& at) {
  VmapResult out = CallRules().vmap(at, at.inputs.size() - static_cast<size_t>(attrs.outputs));
  const auto [op, same] = call_without_rules(out.outputs.size(), {attrs.vjp, attrs.jvp});
  SmallVector<Array, 2> all(at.inputs.begin(), at.inputs.end());
  out.outputs = make_all(*op, same, std::move(all));
  return out;
}

}  // namespace

std::pair<const OpDef*, Ref<AttrsBase>> call_without_rules(size_t outputs, CallRules::Own rules) {
  static const OpHandle op("call_without_rules");
  const WithoutRulesAttrs attrs{static_cast<int64_t>(outputs), rules.vjp, rules.jvp};
  return {&*op, Ref<AttrsBase>::adopt(new AttrsBox<WithoutRulesAttrs>(attrs))};
}

void register_call_without_rules(OpRegistry& ops) {
  ops.alias<WithoutRulesAttrs>("call_without_rules")
      .summary("Results of a function that had derivatives of its own where it was exported.")
      .input("arguments")
      .variadic()
      .attr("outputs", &WithoutRulesAttrs::outputs, "how many of the inputs are results")
      .attr("vjp", &WithoutRulesAttrs::vjp, "whether its gradient had a rule, and has none now")
      .attr("jvp", &WithoutRulesAttrs::jvp, "whether its tangents had a rule, and have none now")
      .infer(infer)
      .check(check)
      .vjp(vjp)
      .jvp(jvp)
      .vmap(vmap);
}

}  // namespace plait
