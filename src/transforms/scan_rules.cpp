#include <algorithm>
#include <utility>

#include "transforms/control/scan.h"

namespace plait::control {
namespace {

/// A scan's inputs, or what belongs to them, in their three parts.
template <class T>
struct Parts {
  std::vector<T> captured, carry, xs;
  Parts(const ScanLoopAttrs& attrs, const std::vector<T>& all) {
    Pieces<T> pieces(all);
    captured = pieces.next(static_cast<size_t>(attrs.captured));
    carry = pieces.next(static_cast<size_t>(attrs.carries));
    xs = pieces.rest();
  }
  std::vector<T> all() const { return joined(joined(captured, carry), xs); }
};

/// Marks the carries that some turn makes depend on a marked input; the marks of the results.
Marks settle(const ScanLoopAttrs& attrs, Parts<bool>& marks, bool as_tangent) {
  for (;;) {
    const Marks out = attrs.step.reached(marks.all(), as_tangent);
    bool changed = false;
    for (size_t i = 0; i < marks.carry.size(); ++i) {
      changed |= out[i] && !marks.carry[i];
      marks.carry[i] = marks.carry[i] || out[i];
    }
    if (!changed) return out;
  }
}

struct Results {
  Arrays last, stacked;
};

/// A loop of the same length.
Results scan_like(const ScanLoopAttrs& attrs, const ScanFunction& f, const Arrays& init, const Arrays& xs,
                  bool reverse) {
  const Arrays all = scan_node(f, init, xs, attrs.length, reverse, attrs.unroll);
  Pieces<Array> out(all);
  Arrays last = out.next(init.size());
  return {std::move(last), out.next(all.size() - 2 * init.size())};
}

Arrays zeros_where_undefined(Arrays arrays, const Arrays& like) {
  for (size_t i = 0; i < arrays.size(); ++i)
    if (!arrays[i].defined()) arrays[i] = zeros(like[i].shape(), like[i].dtype());
  return arrays;
}

}  // namespace

// One loop that carries tangents beside what they are of.
Arrays jvp_scan(const ScanLoopAttrs& attrs, const JvpArgs& at) {
  const Parts<Array> in(attrs, Arrays(at.inputs.begin(), at.inputs.end()));
  const Parts<Array> along(attrs, Arrays(at.tangents.begin(), at.tangents.end()));
  Marks moved;
  for (size_t i = 0; i < at.inputs.size(); ++i)
    moved.push_back(at.tangents[i].defined() && is_inexact(at.inputs[i].dtype()));
  Parts<bool> moves(attrs, moved);
  const Marks results = settle(attrs, moves, true);
  const size_t n = in.carry.size();
  Pieces<bool> pieces(results);
  pieces.next(n);
  const Marks stacked = pieces.rest();
  const bool keeps = attrs.keeps_carries->load();

  const auto [last, ys] = scan_like(
      attrs,
      [&](const Arrays& carry, const Arrays& x) {
        Pieces<Array> c(carry), s(x);
        const Arrays k = c.next(n), tk = c.rest();
        const Arrays slices = s.next(in.xs.size()), tx = s.rest();
        const auto [out, tangents] =
            jvp(attrs.step, joined(joined(in.captured, k), slices),
                joined(joined(spread(picked(along.captured, moves.captured), moves.captured), spread(tk, moves.carry)),
                       spread(tx, moves.xs)));
        Pieces<Array> o(out), t(tangents);
        const Arrays next = o.next(n), tnext = t.next(n);
        return std::pair(joined(next, picked(tnext, moves.carry)),
                         joined(picked(t.rest(), stacked), keeps ? tk : Arrays()));
      },
      joined(in.carry, picked(zeros_where_undefined(along.carry, in.carry), moves.carry)),
      joined(in.xs, picked(along.xs, moves.xs)), attrs.reverse);
  Pieces<Array> l(last), s(ys);
  l.next(n);
  const Arrays out = joined(spread(l.rest(), moves.carry), spread(s.next(count(stacked)), stacked));
  return keeps ? joined(out, spread(s.rest(), moves.carry)) : out;
}

namespace {

/// What sums of many gradients are kept in.
DType sum_dtype(DType d) { return is_half(d) ? DType::float32 : d; }

/// The way back through a scan. The step is computed again there: what it has in between is never kept for all turns.
class Backwards {
 public:
  Backwards(const ScanLoopAttrs& attrs, const VjpArgs& at)
      : attrs_(attrs),
        in_(attrs, Arrays(at.node.inputs.begin(), at.node.inputs.end())),
        n_(in_.carry.size()),
        wanted_(attrs, Marks(at.needed.begin(), at.needed.end())) {
    const Marks results = settle(attrs, wanted_, true);
    const Arrays cotangents(at.cotangents.begin(), at.cotangents.end());
    Pieces<Array> pieces(cotangents);
    g_last_ = pieces.next(n_);
    g_stacked_ = pieces.next(results.size() - n_);
    g_begun_ = pieces.rest();  // of the carries that each turn began with: second derivatives
    for (size_t i = 0; i < results.size(); ++i)
      seeded_.push_back(i < n_ ? bool(wanted_.carry[i]) : results[i] && g_stacked_[i - n_].defined());
    for (size_t i = 0; i < n_; ++i) begun_.push_back(wanted_.carry[i] && g_begun_[i].defined());
  }

  /// The carries that each turn begins with, by another way forwards.
  Arrays carries_again() const {
    const auto step = [&](const Arrays& carry, const Arrays& x) {
      const Arrays out = attrs_.step(joined(joined(in_.captured, carry), x));
      return std::pair(Pieces<Array>(out).next(n_), carry);
    };
    return scan_like(attrs_, step, in_.carry, in_.xs, attrs_.reverse).stacked;
  }

  Results loop(const Arrays& carries) const {
    Arrays sums;
    for (const Array& a : picked(in_.captured, wanted_.captured))
      sums.push_back(zeros(a.shape(), sum_dtype(a.dtype())));
    const Arrays seeds = picked(zeros_where_undefined(g_last_, in_.carry), wanted_.carry);
    const Marks seeded_ys(seeded_.begin() + static_cast<std::ptrdiff_t>(n_), seeded_.end());
    const Arrays along = joined(picked(g_stacked_, seeded_ys), picked(g_begun_, begun_));
    return scan_like(
        attrs_, [&](const Arrays& carry, const Arrays& x) { return turn(carry, x, seeds.size(), count(seeded_ys)); },
        joined(seeds, sums), joined(joined(carries, in_.xs), along), !attrs_.reverse);
  }

  Grads grads(const Results& results) const {
    Pieces<Array> last(results.last);
    const Arrays g_init = spread(last.next(count(wanted_.carry)), wanted_.carry);
    Arrays g_captured = spread(last.rest(), wanted_.captured);
    for (size_t i = 0; i < g_captured.size(); ++i)
      if (g_captured[i].defined()) g_captured[i] = converted(g_captured[i], in_.captured[i].dtype());
    const Arrays all = joined(joined(g_captured, g_init), spread(results.stacked, wanted_.xs));
    return Grads(all.begin(), all.end());
  }

 private:
  /// One turn back: cotangents of the carries and sums for what was captured; cotangents of the slices.
  std::pair<Arrays, Arrays> turn(const Arrays& carry, const Arrays& x, size_t seeds, size_t stacked) const {
    Pieces<Array> c(carry), s(x);
    const Arrays g_carry = c.next(seeds);
    Arrays sums = c.rest();
    const Arrays k = s.next(n_), slices = s.next(in_.xs.size()), g_stacked = s.next(stacked);
    const Arrays g_begun = spread(s.rest(), begun_);
    const Parts<Array> all(attrs_, joined(joined(in_.captured, k), slices));
    const auto varied = [&](const Arrays& some) {
      return picked(attrs_.step(spread(some, wanted_.all(), all.all())), seeded_);
    };
    const Arrays grads = vjp(varied, picked(all.all(), wanted_.all()), joined(g_carry, g_stacked)).second;
    Pieces<Array> g(grads);
    for (Array& sum : sums) sum = add(sum, converted(g.next(1)[0], sum.dtype()));
    Arrays before = spread(g.next(seeds), wanted_.carry);
    for (size_t i = 0; i < n_; ++i)
      if (begun_[i]) before[i] = add(before[i], g_begun[i]);
    return {joined(picked(before, wanted_.carry), sums), g.rest()};
  }

  const ScanLoopAttrs& attrs_;
  const Parts<Array> in_;
  const size_t n_;
  Parts<bool> wanted_;  // inputs that something differentiable is asked for
  Arrays g_last_, g_stacked_, g_begun_;
  Marks seeded_;  // results of the step that have a cotangent
  Marks begun_;   // carries that have one as each turn begins with them
};

bool refers_to(const Results& results, const Node& node) {
  const Arrays& any = results.last.empty() ? results.stacked : results.last;
  if (any.empty()) return false;
  const auto& inputs = any[0].node()->inputs;
  const size_t hidden = node.avals.size() - static_cast<size_t>(node.attrs_as<ScanLoopAttrs>().carries);
  return std::any_of(inputs.begin(), inputs.end(),
                     [&](const Array& a) { return a.node() == &node && a.index() >= hidden; });
}

}  // namespace

// The node keeps the carries of each turn if it was not run yet, and if the way back has a use for them.
Grads vjp_scan(const ScanLoopAttrs& attrs, const VjpArgs& at) {
  const Backwards back(attrs, at);
  Arrays kept;
  for (size_t i = at.node.avals.size() - static_cast<size_t>(attrs.carries); i < at.node.avals.size(); ++i)
    kept.push_back(at.output(static_cast<int>(i)));
  Results results = back.loop(kept);
  if (refers_to(results, at.node) && !keep_carries(at.node)) results = back.loop(back.carries_again());
  return back.grads(results);
}

VmapResult vmap_scan(const ScanLoopAttrs& attrs, const VmapArgs& at) {
  Parts<bool> batched(attrs, batched_inputs(at));
  const Marks results = settle(attrs, batched, false);
  Arrays moved;
  for (size_t i = 0; i < at.inputs.size(); ++i) {
    const size_t behind = batched.captured.size() + batched.carry.size();
    const bool wanted = i < behind && batched.all()[i];
    moved.push_back(wanted ? batch_first_broadcast(at, static_cast<int>(i)) : at.inputs[i]);
    if (i >= behind && at.axes[i] != kUnbatched) moved[i] = moveaxis(at.inputs[i], at.axes[i], 1);
    // A sequence whose batch axis is the first has its steps along the second: both change places.
  }
  const Parts<Array> in(attrs, moved);
  const size_t n = in.carry.size();
  const Marks out = joined(batched.carry, Marks(results.begin() + static_cast<std::ptrdiff_t>(n), results.end()));
  VmapResult result;
  result.outputs = scan_node(
      [&](const Arrays& carry, const Arrays& x) {
        const Arrays all = batched_call(attrs.step, joined(joined(in.captured, carry), x), batched.all(), out, at.size);
        Pieces<Array> pieces(all);
        Arrays next = pieces.next(n);
        return std::pair(std::move(next), pieces.rest());
      },
      in.carry, in.xs, attrs.length, attrs.reverse, attrs.unroll);
  if (attrs.keeps_carries->load() && n > 0)
    result.outputs[0].node()->attrs_as<ScanLoopAttrs>().keeps_carries->store(true);
  for (size_t i = 0; i < out.size(); ++i) result.axes.push_back(!out[i] ? kUnbatched : i < n ? 0 : 1);
  for (size_t i = 0; i < n; ++i) result.axes.push_back(out[i] ? 1 : kUnbatched);
  return result;
}

}  // namespace plait::control
