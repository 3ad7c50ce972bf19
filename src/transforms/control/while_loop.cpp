#include <utility>

#include "base/interrupt.h"
#include "transforms/control/control.h"

namespace plait {
namespace {

using control::joined;
using control::Marks;
using control::Pieces;

/// Inputs are what both functions captured, and the carries.
struct WhileAttrs {
  Body condition;
  Body turn;
  int captured = 0;
};

const OpHandle& while_op() {
  static const OpHandle op("while_loop");
  return op;
}

const char* check_while(const WhileAttrs& attrs, std::span<const Aval> in) {
  if (attrs.captured < 0 || static_cast<size_t>(attrs.captured) > in.size()) return "as many inputs as are captured";
  if (!control::agree(attrs.condition.arguments(), in) || !control::agree(attrs.turn.arguments(), in))
    return "inputs that the condition and the turn take";
  const Avals go = attrs.condition.results();
  if (go.size() != 1 || go[0].dtype != DType::bool_ || !go[0].shape.empty()) return "a condition that is one bool";
  return control::agree(attrs.turn.results(), in.subspan(static_cast<size_t>(attrs.captured)))
             ? nullptr
             : "a turn that gives what it takes";
}

Avals infer_while(const WhileAttrs& attrs, std::span<const Aval>) { return attrs.turn.results(); }

// The condition for the next turn is computed with the turn, as one program.
void run_while(const WhileAttrs& attrs, const Node& node, const ControlArgs& at) {
  const Avals in = control::input_avals(node);
  const auto captured = static_cast<size_t>(attrs.captured);
  const size_t carries = in.size() - captured;
  std::vector<Storage> carry;
  for (size_t i = 0; i < carries; ++i) carry.push_back(std::move(at.inputs[captured + i]));

  std::vector<Storage> go(1);
  {
    engine::Repeated first = control::bound(attrs.condition, in, in.size());
    for (size_t i = 0; i < in.size(); ++i) first.give(i, i < captured ? at.inputs[i] : carry[i - captured]);
    first.run(go, at.place);
  }
  if (engine::read_bool(go[0], node.source)) {
    engine::Repeated turn = control::bound(
        [&](const Arrays& slots) {
          const Arrays held = Pieces<Array>(slots).next(captured);
          const Arrays next = attrs.turn(slots);
          return joined(next, attrs.condition(joined(held, next)));
        },
        in, captured);
    for (size_t i = 0; i < captured; ++i) turn.give(i, at.inputs[i]);
    std::vector<Storage> out;
    do {
      poll_interrupt();
      out.assign(carries + 1, Storage());
      for (size_t i = 0; i < carries; ++i) turn.give(captured + i, std::move(carry[i]));
      turn.run(out, at.place);
      for (size_t i = 0; i < carries; ++i) carry[i] = std::move(out[i]);
    } while (engine::read_bool(out[carries], node.source));
  }
  for (size_t i = 0; i < carries; ++i) at.outputs[i] = std::move(carry[i]);
}

/// A loop's inputs, or what belongs to them, in their two parts.
template <class T>
struct Parts {
  std::vector<T> captured, carry;
  Parts(const WhileAttrs& attrs, const std::vector<T>& all) {
    Pieces<T> pieces(all);
    captured = pieces.next(static_cast<size_t>(attrs.captured));
    carry = pieces.rest();
  }
  std::vector<T> all() const { return joined(captured, carry); }
};

/// Marks the carries that some turn makes depend on a marked input.
void settle(const Body& turn, Parts<bool>& marks, bool as_tangent) {
  for (bool changed = true; changed;) {
    changed = false;
    const Marks out = turn.reached(marks.all(), as_tangent);
    for (size_t i = 0; i < marks.carry.size(); ++i) {
      changed |= out[i] && !marks.carry[i];
      marks.carry[i] = marks.carry[i] || out[i];
    }
  }
}

// Tangents go along as further carries; how many turns there are is up to the primal values.
Arrays jvp_while(const WhileAttrs& attrs, const JvpArgs& at) {
  const Parts<Array> in(attrs, Arrays(at.inputs.begin(), at.inputs.end()));
  const Parts<Array> along(attrs, Arrays(at.tangents.begin(), at.tangents.end()));
  Marks moved;
  for (size_t i = 0; i < at.inputs.size(); ++i)
    moved.push_back(at.tangents[i].defined() && is_inexact(at.inputs[i].dtype()));
  Parts<bool> moves(attrs, moved);
  settle(attrs.turn, moves, true);
  const size_t n = in.carry.size();
  Arrays tangents = along.carry;
  for (size_t i = 0; i < n; ++i)
    if (!tangents[i].defined()) tangents[i] = zeros(in.carry[i].shape(), in.carry[i].dtype());
  const Arrays captured_tangents = control::spread(control::picked(along.captured, moves.captured), moves.captured);
  const Arrays last = while_loop(
      [&](const Arrays& all) { return attrs.condition(joined(in.captured, Pieces<Array>(all).next(n))); },
      [&](const Arrays& all) {
        Pieces<Array> pieces(all);
        const Arrays carry = pieces.next(n);
        const auto [next, moved_next] = jvp(attrs.turn, joined(in.captured, carry),
                                            joined(captured_tangents, control::spread(pieces.rest(), moves.carry)));
        return joined(next, control::picked(moved_next, moves.carry));
      },
      joined(in.carry, control::picked(tangents, moves.carry)));
  Pieces<Array> pieces(last);
  pieces.next(n);
  return control::spread(pieces.rest(), moves.carry);
}

Grads vjp_while(const WhileAttrs&, const VjpArgs& at) {
  throw TransformError({.op = "while_loop",
                        .got = "a gradient backwards through a loop whose number of turns is not known before",
                        .accepts = "forward derivatives (jvp, jacfwd)",
                        .hint = "scan has a length, and gradients in both directions; a step may do nothing by where "
                                "or cond once it is done",
                        .where = describe_source(at.node.source)});
}

// A batch goes on until all examples are done; those that are done before stay as they are.
VmapResult vmap_while(const WhileAttrs& attrs, const VmapArgs& at) {
  Parts<bool> batched(attrs, control::batched_inputs(at));
  settle(attrs.turn, batched, false);
  const bool many = attrs.condition.reached(batched.all(), false)[0];
  if (many) batched.carry.assign(batched.carry.size(), true);
  Arrays moved;
  for (size_t i = 0; i < at.inputs.size(); ++i)
    moved.push_back(batched.all()[i] ? batch_first_broadcast(at, static_cast<int>(i)) : at.inputs[i]);
  const Parts<Array> in(attrs, moved);
  const auto conditions = [&](const Arrays& carry) {
    return control::batched_call(attrs.condition, joined(in.captured, carry), batched.all(), {many}, at.size);
  };
  const auto next = [&](const Arrays& carry) {
    return control::batched_call(attrs.turn, joined(in.captured, carry), batched.all(), batched.carry, at.size);
  };
  VmapResult result;
  if (many) {  // who goes on is one carry more
    const size_t n = in.carry.size();
    const Arrays last = while_loop([&](const Arrays& all) { return Arrays{any(all[n])}; },
                                   [&](const Arrays& all) {
                                     const Arrays carry = Pieces<Array>(all).next(n);
                                     Arrays turned = next(carry);
                                     for (size_t i = 0; i < n; ++i)
                                       turned[i] = control::selected(all[n], turned[i], carry[i]);
                                     return joined(turned, conditions(turned));
                                   },
                                   joined(in.carry, conditions(in.carry)));
    result.outputs = Pieces<Array>(last).next(n);
  } else {
    result.outputs = while_loop(conditions, next, in.carry);
  }
  for (const bool b : batched.carry) result.axes.push_back(b ? 0 : kUnbatched);
  return result;
}

Array checked_condition(const Arrays& results) {
  if (results.size() != 1)
    throw ArgumentError({.op = "while_loop",
                         .got = std::to_string(results.size()) + " arrays as the condition",
                         .accepts = "one, a 0-d bool",
                         .where = describe_source(current_source())});
  return control::checked_predicate("while_loop", results[0]);
}

// One operation after the other, as a loop in the user's language would.
Arrays while_by_hand(const Function& condition, const Function& body, Arrays carry) {
  while (checked_condition(condition(carry)).item<bool>()) {
    Arrays next = body(carry);
    control::check_results("while_loop", "the result of the body", next, carry);
    carry = std::move(next);
  }
  return carry;
}

}  // namespace

Arrays while_loop(const Function& condition, const Function& body, const Arrays& init) {
  if (control::by_hand(init) && !checked_condition(condition(init)).node()->abstract)
    return while_by_hand(condition, body, init);
  const Avals avals = control::avals_of(init);
  const BodyTrace test(
      "while_loop", [&](const Arrays& carry) { return Arrays{checked_condition(condition(carry))}; }, avals);
  const BodyTrace turn(
      "while_loop",
      [&](const Arrays& carry) {
        Arrays next = body(carry);
        control::check_results("while_loop", "the result of the body", next, carry);
        return next;
      },
      avals);
  Arrays captured;
  test.find_captured(captured);
  turn.find_captured(captured);
  const Marks all(init.size(), true);
  const WhileAttrs attrs{test.close(captured, all), turn.close(captured, all), static_cast<int>(captured.size())};
  return control::make_control(while_op(), attrs, joined(captured, init));
}

void register_control_while_loop(OpRegistry& ops) {
  ops.control<WhileAttrs>("while_loop")
      .summary("A function on its own results, as long as a condition holds.")
      .input("a", dtypes::any, "what the functions captured, the carries it begins with")
      .variadic()
      .field(std::make_unique<BodyField<WhileAttrs>>("condition", &WhileAttrs::condition, "whether to go on"))
      .field(std::make_unique<BodyField<WhileAttrs>>("turn", &WhileAttrs::turn, "one turn"))
      .attr("captured", &WhileAttrs::captured, "how many inputs are captured")
      .infer(infer_while)
      .check(check_while)
      .run(run_while)
      .vjp(vjp_while)
      .jvp(jvp_while)
      .vmap(vmap_while);
}

}  // namespace plait
