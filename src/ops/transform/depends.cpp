#include "ops/prelude.h"
#include "plait/more_ops.h"

namespace plait {
namespace {

struct DependsAttrs {
  int64_t outputs = 1;  // the last inputs; those before them come first
  bool operator==(const DependsAttrs&) const = default;
};

Avals infer_depends(const DependsAttrs& attrs, std::span<const Aval> in) {
  const std::span<const Aval> last = in.last(static_cast<size_t>(attrs.outputs));
  return Avals(last.begin(), last.end());
}

const char* check_depends(const DependsAttrs& attrs, std::span<const Aval> in) {
  return attrs.outputs >= 1 && attrs.outputs <= static_cast<int64_t>(in.size()) ? nullptr : "as many inputs to pass on";
}

size_t first_of(const DependsAttrs& attrs, size_t inputs) { return inputs - static_cast<size_t>(attrs.outputs); }

Grads vjp_depends(const DependsAttrs& attrs, const VjpArgs& at) {
  Grads grads(at.node.inputs.size());
  for (size_t k = 0; k < at.cotangents.size(); ++k) grads[first_of(attrs, grads.size()) + k] = at.cotangents[k];
  return grads;
}

Arrays jvp_depends(const DependsAttrs& attrs, const JvpArgs& at) {
  const auto first = at.tangents.begin() + static_cast<std::ptrdiff_t>(first_of(attrs, at.tangents.size()));
  return Arrays(first, at.tangents.end());
}

VmapResult vmap_depends(const DependsAttrs& attrs, const VmapArgs& at) {
  const auto first = static_cast<std::ptrdiff_t>(first_of(attrs, at.inputs.size()));
  const Arrays before(at.inputs.begin(), at.inputs.begin() + first);
  VmapResult out{depends(Arrays(at.inputs.begin() + first, at.inputs.end()), before), {}};
  for (const int axis : at.axes.subspan(static_cast<size_t>(first))) out.axes.push_back(axis);
  return out;
}

}  // namespace

Arrays depends(const Arrays& inputs, const Arrays& dependencies) {
  static const OpHandle op("depends");
  if (inputs.empty() || dependencies.empty()) return inputs;
  SmallVector<Array, 2> all;
  for (const Array& a : dependencies) all.push_back(a);
  for (const Array& a : inputs) all.push_back(a);
  const DependsAttrs attrs{static_cast<int64_t>(inputs.size())};
  return make_all(*op, Ref<AttrsBase>::adopt(new AttrsBox<DependsAttrs>(attrs)), std::move(all));
}

void register_depends(OpRegistry& ops) {
  ops.alias<DependsAttrs>("depends")
      .summary("The last inputs, once those before them are computed.")
      .input("inputs")
      .variadic()
      .barrier()
      .attr("outputs", &DependsAttrs::outputs, "how many of the inputs are passed on")
      .infer(infer_depends)
      .check(check_depends)
      .vjp(vjp_depends)
      .jvp(jvp_depends)
      .vmap(vmap_depends);
}

}  // namespace plait
