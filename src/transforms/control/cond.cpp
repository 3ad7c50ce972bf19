#include <utility>

#include "transforms/control/control.h"

namespace plait {
namespace {

using control::joined;
using control::Marks;

/// Inputs are the predicate, and behind it what both branches take: all that one of them captured, and the operands.
struct CondAttrs {
  Body on_true;
  Body on_false;
};

const OpHandle& cond_op() {
  static const OpHandle op("cond");
  return op;
}

const char* check_cond(const CondAttrs& attrs, std::span<const Aval> in) {
  if (in[0].dtype != DType::bool_ || !in[0].shape.empty()) return "a predicate that is one bool";
  if (!control::agree(attrs.on_true.arguments(), in.subspan(1)) ||
      !control::agree(attrs.on_false.arguments(), in.subspan(1)))
    return "operands that both branches take";
  return control::agree(attrs.on_true.results(), attrs.on_false.results()) ? nullptr : "branches with the same results";
}

Avals infer_cond(const CondAttrs& attrs, std::span<const Aval>) { return attrs.on_true.results(); }

void run_cond(const CondAttrs& attrs, const Node& node, const ControlArgs& at) {
  const Body& body = engine::read_bool(at.inputs[0], node.source) ? attrs.on_true : attrs.on_false;
  Avals in = control::input_avals(node);
  in.erase(in.begin());
  engine::Repeated program = control::bound(body, in, 0);
  for (size_t i = 0; i < in.size(); ++i) program.give(i, std::move(at.inputs[i + 1]));
  program.run(at.outputs, at.place);
}

Arrays behind_predicate(std::span<const Array> inputs) { return Arrays(inputs.begin() + 1, inputs.end()); }

/// Whether a result of either branch depends on a marked input.
Marks reached(const CondAttrs& attrs, const Marks& from, bool as_tangent) {
  Marks out = attrs.on_true.reached(from, as_tangent);
  const Marks other = attrs.on_false.reached(from, as_tangent);
  for (size_t i = 0; i < out.size(); ++i) out[i] = out[i] || other[i];
  return out;
}

/// The same transform of both branches behind the same predicate.
template <class Transform>
Arrays cond_of(const CondAttrs& attrs, const Array& predicate, const Arrays& operands, Transform transform) {
  return cond(
      predicate, [&](const Arrays& in) { return transform(attrs.on_true, in); },
      [&](const Arrays& in) { return transform(attrs.on_false, in); }, operands);
}

Arrays jvp_cond(const CondAttrs& attrs, const JvpArgs& at) {
  const Arrays operands = behind_predicate(at.inputs), tangents = behind_predicate(at.tangents);
  Marks moved;
  for (size_t i = 0; i < operands.size(); ++i)
    moved.push_back(tangents[i].defined() && is_inexact(operands[i].dtype()));
  const Marks out = reached(attrs, moved, true);
  const Arrays results = cond_of(
      attrs, at.input(0), joined(operands, control::picked(tangents, moved)), [&](const Body& body, const Arrays& in) {
        control::Pieces<Array> pieces(in);
        const Arrays primals = pieces.next(operands.size());
        return control::picked(jvp(body, primals, control::spread(pieces.rest(), moved)).second, out);
      });
  return control::spread(results, out);
}

Grads vjp_cond(const CondAttrs& attrs, const VjpArgs& at) {
  const Arrays operands = behind_predicate({at.node.inputs.begin(), at.node.inputs.size()});
  const Marks wanted(at.needed.begin() + 1, at.needed.end());
  Marks seeded = reached(attrs, wanted, true);
  for (size_t i = 0; i < seeded.size(); ++i) seeded[i] = seeded[i] && at.cotangents[i].defined();
  const Arrays cotangents = control::picked(Arrays(at.cotangents.begin(), at.cotangents.end()), seeded);
  const Arrays grads =
      cond_of(attrs, at.input(0), joined(operands, cotangents), [&](const Body& body, const Arrays& in) {
        control::Pieces<Array> pieces(in);
        const Arrays primals = pieces.next(operands.size());
        const auto varied = [&](const Arrays& some) {
          return control::picked(body(control::spread(some, wanted, primals)), seeded);
        };
        return vjp(varied, control::picked(primals, wanted), pieces.rest()).second;
      });
  const Arrays all = joined(Arrays(1), control::spread(grads, wanted));
  return Grads(all.begin(), all.end());
}

VmapResult vmap_cond(const CondAttrs& attrs, const VmapArgs& at) {
  Arrays operands;
  Marks batched;
  for (size_t i = 1; i < at.inputs.size(); ++i) {
    operands.push_back(batch_first(at, static_cast<int>(i)));
    batched.push_back(at.axes[i] != kUnbatched);
  }
  Marks out = reached(attrs, batched, false);
  if (at.axes[0] == kUnbatched) {
    const Arrays results = cond_of(attrs, at.inputs[0], operands, [&](const Body& body, const Arrays& in) {
      return control::batched_call(body, in, batched, out, at.size);
    });
    VmapResult result{results, {}};
    for (const bool b : out) result.axes.push_back(b ? 0 : kUnbatched);
    return result;
  }
  out.assign(out.size(), true);
  const Arrays yes = control::batched_call(attrs.on_true, operands, batched, out, at.size);
  const Arrays no = control::batched_call(attrs.on_false, operands, batched, out, at.size);
  VmapResult result;
  for (size_t i = 0; i < out.size(); ++i) {
    result.outputs.push_back(control::selected(at.inputs[0], yes[i], no[i]));
    result.axes.push_back(0);
  }
  return result;
}

}  // namespace

Arrays cond(const Array& predicate, const Function& on_true, const Function& on_false, const Arrays& operands) {
  const Array condition = control::checked_predicate("cond", predicate);
  if (control::by_hand({condition})) return condition.item<bool>() ? on_true(operands) : on_false(operands);
  const Avals avals = control::avals_of(operands);
  const BodyTrace yes("cond", on_true, avals);
  const BodyTrace no(
      "cond",
      [&](const Arrays& in) {
        Arrays out = on_false(in);
        control::check_results("cond", "the results of the branch for false", out, yes.outputs());
        return out;
      },
      avals);
  Arrays captured;
  yes.find_captured(captured);
  no.find_captured(captured);
  Marks taken;
  for (size_t i = 0; i < operands.size(); ++i) taken.push_back(yes.uses(i) || no.uses(i));
  const Arrays inputs = joined(joined(Arrays{condition}, captured), control::picked(operands, taken));
  return control::make_control(cond_op(), CondAttrs{yes.close(captured, taken), no.close(captured, taken)}, inputs);
}

void register_control_cond(OpRegistry& ops) {
  ops.control<CondAttrs>("cond")
      .summary("What one of two functions gives, by a predicate.")
      .input("a", dtypes::any, "the predicate, what the functions captured, the operands")
      .variadic()
      .field(std::make_unique<BodyField<CondAttrs>>("on_true", &CondAttrs::on_true, "what is run for true"))
      .field(std::make_unique<BodyField<CondAttrs>>("on_false", &CondAttrs::on_false, "what is run for false"))
      .infer(infer_cond)
      .check(check_cond)
      .run(run_cond)
      .vjp(vjp_cond)
      .jvp(jvp_cond)
      .vmap(vmap_cond);
}

}  // namespace plait
