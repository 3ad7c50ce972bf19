#include "ops/transform/custom_call.h"

#include <utility>

namespace plait {
namespace {

struct CustomCallAttrs {
  int64_t outputs = 1;
  std::shared_ptr<const CallRules> rules;  // no part of the plan's key: nothing runs differently
};

const CallRules& rules_of(const CustomCallAttrs& attrs) {
  static const CallRules none;
  return attrs.rules ? *attrs.rules : none;
}

Avals infer_custom_call(const CustomCallAttrs& attrs, std::span<const Aval> in) {
  const std::span<const Aval> last = in.last(static_cast<size_t>(attrs.outputs));
  return Avals(last.begin(), last.end());
}

Grads vjp_custom_call(const CustomCallAttrs& attrs, const VjpArgs& at) { return rules_of(attrs).vjp(at); }
Arrays jvp_custom_call(const CustomCallAttrs& attrs, const JvpArgs& at) { return rules_of(attrs).jvp(at); }
VmapResult vmap_custom_call(const CustomCallAttrs& attrs, const VmapArgs& at) {
  return rules_of(attrs).vmap(at, at.inputs.size() - static_cast<size_t>(attrs.outputs));
}

}  // namespace

Grads CallRules::vjp(const VjpArgs& at) const {
  Grads grads(at.node.inputs.size());
  const size_t first = grads.size() - at.cotangents.size();
  for (size_t k = 0; k < at.cotangents.size(); ++k) grads[first + k] = at.cotangents[k];
  return grads;
}

Arrays CallRules::jvp(const JvpArgs& at) const {
  return Arrays(at.tangents.end() - static_cast<std::ptrdiff_t>(at.outputs.size()), at.tangents.end());
}

VmapResult CallRules::vmap(const VmapArgs& at, size_t arguments) const {
  VmapResult out{Arrays(at.inputs.begin() + static_cast<std::ptrdiff_t>(arguments), at.inputs.end()), {}};
  for (const int axis : at.axes.subspan(arguments)) out.axes.push_back(axis);
  return out;
}

const CallRules* rules_of_call(const Node& node) {
  static const OpHandle op("custom_call");
  return node.op == &*op ? &rules_of(node.attrs_as<CustomCallAttrs>()) : nullptr;
}

Arrays custom_call(std::shared_ptr<const CallRules> rules, const Arrays& arguments, const Arrays& outputs) {
  static const OpHandle op("custom_call");
  if (outputs.empty()) return {};
  SmallVector<Array, 2> all;
  for (const Array& a : arguments) all.push_back(a);
  for (const Array& a : outputs) all.push_back(a);
  const CustomCallAttrs attrs{static_cast<int64_t>(outputs.size()), std::move(rules)};
  return make_all(*op, Ref<AttrsBase>::adopt(new AttrsBox<CustomCallAttrs>(attrs)), std::move(all));
}

void register_custom_call(OpRegistry& ops) {
  ops.alias<CustomCallAttrs>("custom_call")
      .summary("Results of a function that has rules of its own.")
      .input("arguments")
      .variadic()
      .attr("outputs", &CustomCallAttrs::outputs, "how many of the inputs are results")
      .infer(infer_custom_call)
      .no_export("its rules are functions of the program that made it; call_without_rules takes its place")
      .vjp(vjp_custom_call)
      .jvp(jvp_custom_call)
      .vmap(vmap_custom_call);
}

}  // namespace plait
