#include <string>

#include "graph/elementwise.h"
#include "graph/registry.h"
#include "ops/transform/custom_call.h"
#include "plait/ops.h"
#include "plait/transforms.h"
#include "transforms/rules.h"
#include "transforms/trace.h"

namespace plait {
namespace {

[[noreturn]] void raise_missing(const Node& node, const char* rule, const char* transform) {
  throw TransformError(
      {.op = node.op->name,
       .got = std::string("this op has no ") + rule + " rule, so " + transform + " cannot pass through it",
       // What has neither derivatives nor batches says what to do instead.
       .accepts = node.op->no_vmap.empty() ? "ops listed as differentiable in the reference" : node.op->no_vmap,
       .hint = "stop_gradient keeps it out of the derivative",
       .where = describe_source(node.source)});
}

bool carries_gradient(const Array& a) { return is_inexact(a.dtype()); }

void check_like(const char* transform, const char* what, const Arrays& values, const Arrays& like) {
  if (values.size() != like.size())
    throw ArgumentError({.op = transform,
                         .got = std::to_string(values.size()) + " " + what,
                         .accepts = std::to_string(like.size()) + ", one for each"});
  for (size_t i = 0; i < values.size(); ++i) {
    if (values[i].defined() && !(values[i].shape() == like[i].shape()))
      throw ArgumentError(
          {.op = transform,
           .got = std::string(what) + " " + std::to_string(i) + " has shape " + to_string(values[i].shape()),
           .accepts = to_string(like[i].shape())});
  }
}

}  // namespace

GradTrace::GradTrace(const Arrays& primals, std::string_view name)
    : scope_(name), primals_(primals), level_(open_trace()) {
  for (const Array& p : primals_) inputs_.push_back(concrete_placeholder(p, level_));
}

GradTrace::~GradTrace() { close_trace(level_); }

Arrays GradTrace::pull_back(const Arrays& outputs, const Arrays& cotangents) const {
  check_like("vjp", "cotangents", cotangents, outputs);
  const TraceGraph graph(outputs, inputs_, level_);
  std::vector<SmallVector<Array, 1>> sums(graph.nodes().size());
  for (size_t i = 0; i < sums.size(); ++i) sums[i].resize(graph.nodes()[i]->avals.size());
  const auto accumulate = [&](const Array& to, const Array& g) {
    const int64_t at = graph.position(to.node());
    if (at < 0 || !g.defined()) return;
    Array& sum = sums[static_cast<size_t>(at)][to.index()];
    const Array term = converted(g, to.dtype());
    sum = sum.defined() ? add(sum, term) : term;
  };
  for (size_t i = 0; i < outputs.size(); ++i)
    if (carries_gradient(outputs[i])) accumulate(outputs[i], cotangents[i]);

  for (size_t i = graph.nodes().size(); i-- > 0;) {
    const Node& node = *graph.nodes()[i];
    SmallVector<Array, 1>& gs = sums[i];
    bool any = false;
    for (const Array& g : gs) any |= g.defined();
    if (!any) continue;
    const SourceScope line(node.source);  // gradients belong to the line that made the forward operation
    if (node.op->kind == OpKind::placeholder) {
      if (!node.inputs.empty()) accumulate(node.inputs[0], gs[0]);  // of an inner trace, or a replay of one
      continue;
    }
    if (!node.op->not_differentiable.empty()) continue;
    if (!node.op->vjp) raise_missing(node, "vjp", "a gradient");
    const OnStreamOf stream(node);
    const bool zeros_stay_undefined = node.op->kind == OpKind::alias || node.op->kind == OpKind::control;
    for (size_t k = 0; k < gs.size() && !zeros_stay_undefined; ++k)
      if (!gs[k].defined()) gs[k] = zeros(node.avals[k].shape, node.avals[k].dtype);
    SmallVector<bool, 4> needed;
    bool wanted = false;
    for (const Array& in : node.inputs) {
      needed.push_back(graph.depends(in) && carries_gradient(in));
      wanted |= needed.back();
    }
    if (!wanted) continue;
    count_rule(node, "vjp", [&](size_t k) { return needed[k]; });
    const Grads grads = on_behalf_of(node.source, [&] {
      return node.op->vjp(node.attrs.get(), {.node = node, .cotangents = gs, .needed = needed, .level = level_});
    });
    check_internal(grads.size() <= node.inputs.size(), "a vjp rule gave more gradients than the op has inputs");
    for (size_t k = 0; k < grads.size(); ++k)
      if (needed[k]) accumulate(node.inputs[k], grads[k]);
    gs.clear();  // not needed any more
  }

  Arrays result;
  for (size_t i = 0; i < inputs_.size(); ++i) {
    const int64_t at = graph.position(inputs_[i].node());
    const bool reached =
        at >= 0 && !sums[static_cast<size_t>(at)].empty() && sums[static_cast<size_t>(at)][0].defined();
    result.push_back(reached ? sums[static_cast<size_t>(at)][0] : zeros_like(primals_[i], std::nullopt));
  }
  return result;
}

Arrays GradTrace::push_forward(const Arrays& outputs, const Arrays& tangents) const {
  check_like("jvp", "tangents", tangents, primals_);
  const TraceGraph graph(outputs, inputs_, level_);
  std::vector<SmallVector<Array, 1>> moved(graph.nodes().size());
  for (size_t i = 0; i < inputs_.size(); ++i) {
    const int64_t at = graph.position(inputs_[i].node());
    if (at < 0 || !carries_gradient(primals_[i])) continue;
    const bool moves = tangents[i].defined();
    moved[static_cast<size_t>(at)].push_back(moves ? converted(tangents[i], primals_[i].dtype()) : Array());
  }
  const auto tangent_of = [&](const Array& a) -> Array {
    const int64_t at = graph.position(a.node());
    if (at < 0 || moved[static_cast<size_t>(at)].size() <= a.index()) return Array();
    return moved[static_cast<size_t>(at)][a.index()];
  };
  // Nodes that depend on one without a rule, and which: an error where a result does. A custom call may have a rule around it.
  std::vector<const Node*> missing(graph.nodes().size());
  const auto missing_below = [&](const Array& a) -> const Node* {
    const int64_t at = graph.position(a.node());
    return at < 0 ? nullptr : missing[static_cast<size_t>(at)];
  };
  for (size_t i = 0; i < graph.nodes().size(); ++i) {
    Node& node = *graph.nodes()[i];
    if (node.op->kind == OpKind::placeholder) {
      if (!node.inputs.empty()) missing[i] = missing_below(node.inputs[0]);
      if (moved[i].empty() && !node.inputs.empty()) moved[i].push_back(tangent_of(node.inputs[0]));
      continue;
    }
    if (!node.op->not_differentiable.empty()) continue;
    const CallRules* const call = rules_of_call(node);
    const size_t read = node.inputs.size() - (call && call->own().jvp ? node.avals.size() : 0);
    for (size_t k = 0; k < read && !missing[i]; ++k) missing[i] = missing_below(node.inputs[k]);
    if (missing[i]) continue;
    Arrays in, outs;
    Arrays along;
    bool any = false;
    for (const Array& a : node.inputs) {
      in.push_back(a);
      along.push_back(tangent_of(a));
      any |= along.back().defined();
    }
    if (!any) continue;
    if (!node.op->jvp) {
      missing[i] = &node;
      continue;
    }
    for (uint32_t k = 0; k < node.avals.size(); ++k) outs.emplace_back(Ref<Node>::share(&node), k);
    const OnStreamOf stream(node);
    count_rule(node, "jvp", [&](size_t k) { return along[k].defined(); });
    const Arrays out = on_behalf_of(node.source, [&] {
      return node.op->jvp(node.attrs.get(), {.inputs = in, .tangents = along, .outputs = outs, .level = level_});
    });
    for (size_t k = 0; k < out.size(); ++k)  // what became an integer does not move: astype(x, int32)
      moved[i].push_back(carries_gradient(outs[k]) ? out[k] : Array());
  }
  Arrays result;
  for (const Array& out : outputs) {
    if (const Node* without = missing_below(out)) raise_missing(*without, "jvp", "a forward derivative");
    const Array t = tangent_of(out);
    result.push_back(t.defined() ? converted(t, out.dtype()) : zeros_like(out, std::nullopt));
  }
  return result;
}

std::pair<Arrays, Arrays> vjp(const Function& f, const Arrays& primals, const Arrays& cotangents) {
  const GradTrace trace(primals, "vjp");
  Arrays outputs = f(trace.inputs());
  Arrays grads = trace.pull_back(outputs, cotangents);
  return {std::move(outputs), std::move(grads)};
}

std::pair<Arrays, Arrays> jvp(const Function& f, const Arrays& primals, const Arrays& tangents) {
  const GradTrace trace(primals, "jvp");
  Arrays outputs = f(trace.inputs());
  Arrays moved = trace.push_forward(outputs, tangents);
  return {std::move(outputs), std::move(moved)};
}

std::function<std::pair<Arrays, Arrays>(const Arrays&)> value_and_grad(Function f, std::vector<int> argnums) {
  return [f = std::move(f), argnums = std::move(argnums)](const Arrays& arguments) {
    Arrays primals;
    for (int k : argnums) {
      if (k < 0 || k >= static_cast<int>(arguments.size()))
        throw ArgumentError({.op = "value_and_grad",
                             .got = "argument number " + std::to_string(k),
                             .accepts = "0 to " + std::to_string(static_cast<int>(arguments.size()) - 1)});
      primals.push_back(arguments[static_cast<size_t>(k)]);
    }
    const GradTrace trace(primals);
    Arrays traced = arguments;
    for (size_t i = 0; i < argnums.size(); ++i) traced[static_cast<size_t>(argnums[i])] = trace.inputs()[i];
    Arrays outputs = f(traced);
    if (outputs.empty() || outputs[0].size() != 1)
      throw ArgumentError({.op = "value_and_grad",
                           .got = outputs.empty() ? "a function without a result"
                                                  : "a first result of shape " + to_string(outputs[0].shape()),
                           .accepts = "a scalar to differentiate",
                           .hint = "sum or mean makes one"});
    Arrays grads = trace.pull_back({outputs[0]}, {ones_like(outputs[0], std::nullopt)});
    return std::pair(std::move(outputs), std::move(grads));
  };
}

Function grad(Function f, std::vector<int> argnums) {
  return [both = value_and_grad(std::move(f), std::move(argnums))](const Arrays& arguments) {
    return both(arguments).second;
  };
}

}  // namespace plait
