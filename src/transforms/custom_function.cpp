#include <unordered_set>
#include <utility>

#include "ops/transform/custom_call.h"
#include "plait/transforms.h"
#include "transforms/trace.h"

namespace plait {
namespace {

[[noreturn]] void refuse(const Node* node, const char* rule, std::string got, std::string accepts, std::string hint) {
  throw TransformError({.op = std::string("custom_function: ") + rule + " rule",
                        .got = std::move(got),
                        .accepts = std::move(accepts),
                        .hint = std::move(hint),
                        .where = node ? describe_source(node->source) : ""});
}

/// Whether the results depend on the trace other than through the arguments: a rule says nothing about those.
bool reaches_trace(const Node& call, size_t arguments, uint64_t level) {
  std::unordered_set<const Node*> seen;
  std::vector<const Node*> work;
  const auto enter = [&](const Array& a) {
    for (size_t i = 0; i < arguments; ++i)
      if (call.inputs[i].same(a)) return;
    if (a.node()->level >= level && seen.insert(a.node()).second) work.push_back(a.node());
  };
  for (size_t i = arguments; i < call.inputs.size(); ++i) enter(call.inputs[i]);
  while (!work.empty()) {
    const Node* node = work.back();
    work.pop_back();
    if (node->op->kind == OpKind::placeholder && node->level == level) return true;
    for (const Array& in : node->inputs) enter(in);
  }
  return false;
}

[[noreturn]] void refuse_captured(const Node& call, const char* rule) {
  refuse(&call, rule, "a function that uses an array of the trace which is not among its arguments",
         "functions of their arguments, and of arrays that are not differentiated",
         "give it as an argument, or put stop_gradient around it");
}

void check_like(const Node* node, const char* rule, const char* what, const Array& given, const Array& like, size_t i) {
  if (given.shape() == like.shape()) return;
  refuse(node, rule, std::string(what) + " " + std::to_string(i) + " of shape " + to_string(given.shape()),
         to_string(like.shape()), "");
}

std::string counted(size_t n, const char* what) { return std::to_string(n) + " " + what; }

class UserRules final : public CallRules {
 public:
  explicit UserRules(std::shared_ptr<const CustomRules> rules) : rules_(std::move(rules)) {}

  Grads vjp(const VjpArgs& at) const override {
    if (!rules_->vjp) return CallRules::vjp(at);
    const size_t count = at.node.inputs.size() - at.cotangents.size();
    if (reaches_trace(at.node, count, at.level)) refuse_captured(at.node, "vjp");
    const Arrays primals(at.node.inputs.begin(), at.node.inputs.begin() + static_cast<std::ptrdiff_t>(count));
    Arrays cotangents, outputs;
    for (size_t k = 0; k < at.cotangents.size(); ++k) {
      outputs.push_back(at.output(static_cast<int>(k)));
      cotangents.push_back(at.cotangents[k].defined() ? at.cotangents[k] : zeros_like(outputs[k], std::nullopt));
    }
    const OwnSourceScope lines;
    const Arrays found = rules_->vjp(primals, cotangents, outputs);
    if (found.size() != count)
      refuse(&at.node, "vjp", counted(found.size(), "gradients"), counted(count, "of them, one for each argument"), "");
    Grads grads(at.node.inputs.size());
    for (size_t i = 0; i < count; ++i) {
      if (!found[i].defined() || !at.needed[i]) continue;
      check_like(&at.node, "vjp", "gradient", found[i], primals[i], i);
      grads[i] = found[i];
    }
    return grads;
  }

  Arrays jvp(const JvpArgs& at) const override {
    if (!rules_->jvp) return CallRules::jvp(at);
    const size_t count = at.inputs.size() - at.outputs.size();
    const Node& call = *at.outputs[0].node();
    if (reaches_trace(call, count, at.level)) refuse_captured(call, "jvp");
    const auto end = static_cast<std::ptrdiff_t>(count);
    const OwnSourceScope lines;
    Arrays found = rules_->jvp(Arrays(at.inputs.begin(), at.inputs.begin() + end),
                               Arrays(at.tangents.begin(), at.tangents.begin() + end));
    if (found.size() != at.outputs.size())
      refuse(&call, "jvp", counted(found.size(), "tangents"),
             counted(at.outputs.size(), "of them, one for each result"), "");
    for (size_t k = 0; k < found.size(); ++k)
      if (found[k].defined()) {
        check_like(&call, "jvp", "tangent", found[k], at.outputs[k], k);
        if (!is_inexact(at.outputs[k].dtype())) found[k] = Array();  // an integer does not move
      }
    return found;
  }

  VmapResult vmap(const VmapArgs& at, size_t arguments) const override;
  Own own() const override { return {rules_->vjp != nullptr, rules_->jvp != nullptr}; }
  bool batches() const override { return rules_->vmap != nullptr; }

 private:
  VmapResult by_rule(const VmapArgs& at, size_t arguments) const;

  std::shared_ptr<const CustomRules> rules_;
};

/// Of a batch: the arrays, and where the batch axis is.
struct Batch {
  Arrays arrays;
  std::vector<int> axes;

  void add(const Array& a, int axis) {
    arrays.push_back(a);
    axes.push_back(axis);
  }
  void add(const Arrays& more, const std::vector<int>& their_axes) {
    for (size_t i = 0; i < more.size(); ++i) add(more[i], their_axes[i]);
  }
};

/// `rule` for each example of the batch. Arrays that it leaves undefined are so for the whole batch.
Batch each_example(const Batch& batch, const std::vector<int>& out_axes,
                   const std::function<Arrays(const Arrays&)>& rule) {
  Batch defined;
  for (size_t i = 0; i < batch.arrays.size(); ++i)
    if (batch.arrays[i].defined()) defined.add(batch.arrays[i], batch.axes[i]);
  const VmapTrace trace(defined.arrays, defined.axes);
  Arrays given = batch.arrays;
  auto next = trace.inputs().begin();
  for (Array& a : given)
    if (a.defined()) a = *next++;
  const Arrays found = rule(given);
  Arrays there;
  std::vector<int> axes;
  for (size_t i = 0; i < found.size() && i < out_axes.size(); ++i)
    if (found[i].defined()) {
      there.push_back(found[i]);
      axes.push_back(out_axes[i]);
    }
  const Arrays together = trace.batched(there, axes);
  Batch out{found, out_axes};
  auto from = together.begin();
  for (size_t i = 0; i < found.size() && i < out_axes.size(); ++i)
    if (found[i].defined()) out.arrays[i] = *from++;
  return out;
}

/// The rules of one example made rules of a batch.
CustomRules batched_rules(const std::shared_ptr<const CustomRules>& one, std::vector<int> in_axes,
                          std::vector<int> out_axes) {
  CustomRules rules;
  if (one->vjp)
    rules.vjp = [one, in_axes, out_axes](const Arrays& primals, const Arrays& cotangents, const Arrays& outputs) {
      Batch batch;
      batch.add(primals, in_axes);
      batch.add(cotangents, out_axes);
      batch.add(outputs, out_axes);
      std::vector<int> to = in_axes;  // a shared argument gets the sum over the batch
      for (int& axis : to) axis = std::max(axis, 0);
      Batch grads = each_example(batch, to, [&](const Arrays& all) {
        const auto a = all.begin() + static_cast<std::ptrdiff_t>(primals.size());
        const auto b = a + static_cast<std::ptrdiff_t>(cotangents.size());
        return one->vjp(Arrays(all.begin(), a), Arrays(a, b), Arrays(b, all.end()));
      });
      for (size_t i = 0; i < grads.arrays.size() && i < in_axes.size(); ++i)
        if (grads.arrays[i].defined() && in_axes[i] == kUnbatched) grads.arrays[i] = sum(grads.arrays[i], 0, false);
      return grads.arrays;
    };
  if (one->jvp)
    rules.jvp = [one, in_axes, out_axes](const Arrays& primals, const Arrays& tangents) {
      Batch batch;
      batch.add(primals, in_axes);
      batch.add(tangents, in_axes);
      return each_example(batch, out_axes,
                          [&](const Arrays& all) {
                            const auto a = all.begin() + static_cast<std::ptrdiff_t>(primals.size());
                            return one->jvp(Arrays(all.begin(), a), Arrays(a, all.end()));
                          })
          .arrays;
    };
  return rules;
}

VmapResult UserRules::vmap(const VmapArgs& at, size_t arguments) const {
  VmapResult out = rules_->vmap ? by_rule(at, arguments) : CallRules::vmap(at, arguments);
  if (!rules_->vjp && !rules_->jvp) return out;
  const std::vector<int> in_axes(at.axes.begin(), at.axes.begin() + static_cast<std::ptrdiff_t>(arguments));
  const std::vector<int> out_axes(out.axes.begin(), out.axes.end());
  auto rules = std::make_shared<const CustomRules>(batched_rules(rules_, in_axes, out_axes));
  const auto first = at.inputs.begin();
  out.outputs = custom_call(std::make_shared<UserRules>(std::move(rules)),
                            Arrays(first, first + static_cast<std::ptrdiff_t>(arguments)), out.outputs);
  return out;
}

VmapResult UserRules::by_rule(const VmapArgs& at, size_t arguments) const {
  const auto end = static_cast<std::ptrdiff_t>(arguments);
  const OwnSourceScope lines;
  auto [outputs, axes] = rules_->vmap(Arrays(at.inputs.begin(), at.inputs.begin() + end),
                                      std::vector<int>(at.axes.begin(), at.axes.begin() + end));
  const size_t count = at.inputs.size() - arguments;
  if (outputs.size() != count || axes.size() != count)
    refuse(nullptr, "vmap", counted(outputs.size(), "results and ") + counted(axes.size(), "axes"),
           counted(count, "of each"), "");
  VmapResult out{std::move(outputs), {}};
  for (size_t k = 0; k < count; ++k) {
    const Array& like = at.inputs[arguments + k];
    const int like_axis = at.axes[arguments + k];
    Shape one = like.shape();
    if (like_axis != kUnbatched) one.erase(one.begin() + like_axis);
    Shape want = one;
    const int axis = axes[k];
    if (axis != kNotMapped) {
      if (axis < 0 || axis > one.rank())
        refuse(nullptr, "vmap", "the axis " + std::to_string(axis), "0 to " + std::to_string(one.rank()) + ", or none",
               "");
      want.insert(want.begin() + axis, at.size);
    }
    if (!(out.outputs[k].shape() == want))
      refuse(nullptr, "vmap", "result " + std::to_string(k) + " of shape " + to_string(out.outputs[k].shape()),
             to_string(want) + ", as its axis says", "");
    out.outputs[k] = astype(out.outputs[k], like.dtype());
    out.axes.push_back(axis == kNotMapped ? kUnbatched : axis);
  }
  return out;
}

}  // namespace

Function custom_function(Function f, CustomRules rules) {
  return [f = std::move(f), rules = std::make_shared<const CustomRules>(std::move(rules))](const Arrays& primals) {
    Arrays outputs = f(primals);
    if (!any_trace_open() || (!rules->vjp && !rules->jvp && !rules->vmap)) return outputs;
    return custom_call(std::make_shared<UserRules>(rules), primals, outputs);
  };
}

}  // namespace plait
