#include <algorithm>
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

int checked_batch_axis(const char* what, int axis, int rank) {
  if (axis < -rank || axis >= rank)
    throw AxisError({.op = "vmap",
                     .got = std::string(what) + " " + std::to_string(axis) + " does not exist in an array with " +
                            std::to_string(rank) + " axes",
                     .accepts = rank == 0 ? "None: the array is 0-d"
                                          : std::to_string(-rank) + " to " + std::to_string(rank - 1) + ", or None"});
  return axis < 0 ? axis + rank : axis;
}

Shape with_batch(Dim size, const Shape& shape) {
  Shape out{size};
  for (const Dim& d : shape) out.push_back(d);
  return out;
}

struct Batched {
  Array array;
  int axis = kUnbatched;
};

[[noreturn]] void raise_missing(const Node& node) {
  throw TransformError({.op = node.op->name,
                        .got = "vmap cannot pass through this op",
                        .accepts = node.op->no_vmap.empty() ? "ops with a batching rule" : node.op->no_vmap,
                        .where = describe_source(node.source)});
}

/// Arrays of the shapes and dtypes of one example, for what nobody computes.
SmallVector<Batched, 1> stand_ins(const Node& node) {
  SmallVector<Batched, 1> out;
  for (const Aval& aval : node.avals) out.push_back({zeros(aval.shape, aval.dtype), kUnbatched});
  return out;
}

Array moved_axis(const Array& a, int from, int to) {
  if (from == to) return a;
  std::vector<int> axes;
  for (int i = 0; i < a.rank(); ++i)
    if (i != from) axes.push_back(i);
  axes.insert(axes.begin() + to, from);
  return transpose(a, axes);
}

}  // namespace

VmapTrace::VmapTrace(const Arrays& arrays, const std::vector<int>& axes, std::string_view name)
    : scope_(name), arrays_(arrays), axes_(axes), level_(0) {
  check_internal(arrays.size() == axes.size(), "vmap: one axis for each array");
  bool found = false;
  for (size_t i = 0; i < arrays_.size(); ++i) {
    if (axes_[i] == kNotMapped) continue;
    axes_[i] = checked_batch_axis("the batch axis", axes_[i], arrays_[i].rank());
    const Dim n = arrays_[i].shape()[static_cast<size_t>(axes_[i])];
    if (found && !(n == size_))
      throw ArgumentError(
          {.op = "vmap",
           .got = "batch extents " + std::to_string(size_.value()) + " and " + std::to_string(n.value()),
           .accepts = "the same extent for every mapped argument"});
    size_ = n;
    found = true;
  }
  if (!found)
    throw ArgumentError({.op = "vmap", .got = "no mapped argument", .accepts = "at least one axis that is not None"});
  level_ = open_trace();
  for (size_t i = 0; i < arrays_.size(); ++i) {
    if (axes_[i] == kNotMapped) {
      inputs_.push_back(arrays_[i]);
      continue;
    }
    Aval aval{arrays_[i].shape(), arrays_[i].dtype()};
    aval.shape.erase(aval.shape.begin() + axes_[i]);
    inputs_.push_back(abstract_placeholder(std::move(aval), level_));
  }
}

VmapTrace::~VmapTrace() { close_trace(level_); }

Arrays VmapTrace::batched(const Arrays& outputs, const std::vector<int>& axes) const {
  Arrays placeholders;
  for (size_t i = 0; i < inputs_.size(); ++i)
    if (axes_[i] != kNotMapped) placeholders.push_back(inputs_[i]);
  const TraceGraph graph(outputs, placeholders, level_);
  std::vector<SmallVector<Batched, 1>> values(graph.nodes().size());
  // Nodes that depend on one without a rule, and which: an error where a result does. A custom call may have a rule around it.
  std::vector<const Node*> missing(graph.nodes().size());
  const auto missing_below = [&](const Array& a) -> const Node* {
    const int64_t at = graph.position(a.node());
    return at < 0 ? nullptr : missing[static_cast<size_t>(at)];
  };
  for (size_t i = 0; i < inputs_.size(); ++i) {
    if (axes_[i] == kNotMapped) continue;
    const int64_t at = graph.position(inputs_[i].node());
    if (at >= 0) values[static_cast<size_t>(at)] = {Batched{arrays_[i], axes_[i]}};
  }
  const auto value_of = [&](const Array& a) -> Batched {
    const int64_t at = graph.position(a.node());
    return at < 0 ? Batched{a, kUnbatched} : values[static_cast<size_t>(at)][a.index()];
  };
  const bool nothing = size_ == 0;  // then there is nothing to compute, and rules may divide by the batch's extent
  for (size_t i = 0; i < graph.nodes().size(); ++i) {
    const Node& node = *graph.nodes()[i];
    if (node.op->kind == OpKind::placeholder) {
      if (values[i].empty()) {  // of a trace inside this one, closed by now
        values[i] = {value_of(node.inputs[0])};
        missing[i] = missing_below(node.inputs[0]);
      }
      continue;
    }
    const CallRules* const call = rules_of_call(node);
    size_t read = node.inputs.size() - (call && call->batches() ? node.avals.size() : 0);
    const auto batched = [&](const Array& a) { return value_of(a).axis != kUnbatched; };
    if (std::none_of(node.inputs.begin(), node.inputs.begin() + read, batched)) read = node.inputs.size();
    for (size_t k = 0; k < read && !missing[i]; ++k) missing[i] = missing_below(node.inputs[k]);
    if (missing[i]) {
      values[i] = stand_ins(node);
      continue;
    }
    Arrays in;
    SmallVector<int, 4> in_axes;
    for (const Array& a : node.inputs) {
      const Batched b = value_of(a);
      in.push_back(b.array);
      in_axes.push_back(b.axis);
    }
    if (std::all_of(in_axes.begin(), in_axes.end(), [](int axis) { return axis == kUnbatched; })) {
      // An alias or a user's rule gave something that is the same for the whole batch: so is this.
      const Ref<Node> same = make_node_as(node, node.attrs, SmallVector<Array, 2>(in.begin(), in.end()), node.avals);
      for (uint32_t k = 0; k < node.avals.size(); ++k) values[i].push_back({Array(same, k), kUnbatched});
      continue;
    }
    if (!node.op->vmap) {
      missing[i] = &node;
      values[i] = stand_ins(node);
      continue;
    }
    if (nothing) {
      for (const Aval& aval : node.avals) values[i].push_back({zeros(with_batch(size_, aval.shape), aval.dtype), 0});
      continue;
    }
    const OnStreamOf stream(node);
    count_rule(node, "vmap", [&](size_t k) { return in_axes[k] != kUnbatched; });
    VmapResult out = on_behalf_of(
        node.source, [&] { return node.op->vmap(node.attrs.get(), {.inputs = in, .axes = in_axes, .size = size_}); });
    check_internal(out.outputs.size() == node.avals.size(),
                   ("batching rule of " + node.op->name + ": number of outputs").c_str());
    for (size_t k = 0; k < out.outputs.size(); ++k) values[i].push_back({out.outputs[k], out.axes[k]});
  }
  Arrays result;
  for (size_t i = 0; i < outputs.size(); ++i) {
    if (const Node* without = missing_below(outputs[i])) raise_missing(*without);
    const Batched b = value_of(outputs[i]);
    const int want = axes[i];
    if (want == kNotMapped) {
      if (b.axis != kUnbatched)
        throw ArgumentError({.op = "vmap",
                             .got = "output " + std::to_string(i) + " depends on the batch, but its axis is None",
                             .accepts = "an axis for it"});
      result.push_back(b.array);
      continue;
    }
    const int to = checked_batch_axis("the output axis", want, outputs[i].rank() + 1);
    if (b.axis == kUnbatched) {
      Shape shape = b.array.shape();
      shape.insert(shape.begin() + to, size_);
      result.push_back(broadcast_to(expand_dims(b.array, to), shape));
    } else {
      result.push_back(moved_axis(b.array, b.axis, to));
    }
  }
  return result;
}

Function vmap(Function f, std::vector<int> in_axes, std::vector<int> out_axes) {
  return [f = std::move(f), in_axes = std::move(in_axes), out_axes = std::move(out_axes)](const Arrays& arguments) {
    const auto spread = [](const char* what, const std::vector<int>& axes, size_t count) {
      if (axes.size() == 1) return std::vector<int>(count, axes[0]);
      if (axes.size() != count)
        throw ArgumentError(
            {.op = "vmap",
             .got = std::to_string(axes.size()) + " " + what + " for " + std::to_string(count) + " arrays",
             .accepts = "one for each, or one for all"});
      return axes;
    };
    const VmapTrace trace(arguments, spread("in_axes", in_axes, arguments.size()));
    const Arrays outputs = f(trace.inputs());
    return trace.batched(outputs, spread("out_axes", out_axes, outputs.size()));
  };
}

}  // namespace plait
