#include <algorithm>
#include <utility>

#include "base/interrupt.h"
#include "transforms/control/control.h"

namespace plait {
namespace {

using control::Marks;
using control::Pieces;
using control::joined;

/// Inputs are what the step captured, the carries, and the sequences; results the carries and the stacked results.
struct ScanLoopAttrs {
  Body step;
  int captured = 0;
  int carries = 0;
  Dim length;
  bool reverse = false;
  int unroll = 1;
};

const OpHandle& scan_op() {
  static const OpHandle op("scan");
  return op;
}

Aval slice_of(const Aval& sequence) {
  return {Shape(std::vector<Dim>(sequence.shape.begin() + 1, sequence.shape.end())), sequence.dtype};
}

Avals infer_scan(const ScanLoopAttrs& attrs, std::span<const Aval>) {
  Avals out = attrs.step.results();
  for (size_t i = static_cast<size_t>(attrs.carries); i < out.size(); ++i)
    out[i].shape.insert(out[i].shape.begin(), attrs.length);
  return out;
}

// ---- running --------------------------------------------------------------------------------------------------------

Storage slice_at(const Storage& sequence, const Aval& aval, int64_t position) {
  Storage s = sequence;
  s.offset += position * sequence.strides[0] * size_of(aval.dtype);
  s.strides.erase(s.strides.begin());
  s.row_major = is_row_major(slice_of(aval).shape, s.strides);
  return s;
}

class ScanRun {
 public:
  ScanRun(const ScanLoopAttrs& attrs, const Node& node, const ControlArgs& at)
      : attrs_(attrs),
        node_(node),
        at_(at),
        captured_(static_cast<size_t>(attrs.captured)),
        carries_(static_cast<size_t>(attrs.carries)),
        avals_(control::input_avals(node)),
        length_(attrs.length.value()) {}

  void run() {
    for (size_t j = carries_; j < node_.avals.size(); ++j)
      at_.outputs[j] = engine::allocate_at(at_.place, node_.avals[j]);
    for (size_t i = 0; i < carries_; ++i) carry_.push_back(std::move(at_.inputs[captured_ + i]));
    const int64_t unroll = std::clamp<int64_t>(attrs_.unroll, 1, std::max<int64_t>(length_, 1));
    const int64_t rest = length_ % unroll;
    if (length_ >= unroll) turns(unroll, 0, length_ - rest);
    if (rest > 0) turns(rest, length_ - rest, length_);
    for (size_t i = 0; i < carries_; ++i) at_.outputs[i] = own(std::move(carry_[i]), node_.avals[i]);
  }

 private:
  /// `times` steps as one program, from turn `from` to `to`.
  void turns(int64_t times, int64_t from, int64_t to) {
    const size_t behind = captured_ + carries_;
    const size_t sequences = avals_.size() - behind;
    Avals in(avals_.begin(), avals_.begin() + static_cast<std::ptrdiff_t>(behind));
    for (int64_t u = 0; u < times; ++u)
      for (size_t j = 0; j < sequences; ++j) in.push_back(slice_of(avals_[behind + j]));
    engine::Repeated program = control::bound([&](const Arrays& slots) { return steps(slots, times); }, in, captured_);
    for (size_t i = 0; i < captured_; ++i) program.give(i, at_.inputs[i]);

    std::vector<Storage> out;
    for (int64_t t = from; t < to; t += times) {
      poll_interrupt();
      out.assign(carries_, Storage());
      for (size_t i = 0; i < carries_; ++i) program.give(captured_ + i, std::move(carry_[i]));
      for (int64_t u = 0; u < times; ++u) {
        const int64_t position = attrs_.reverse ? length_ - 1 - (t + u) : t + u;
        for (size_t j = 0; j < sequences; ++j)
          program.give(behind + static_cast<size_t>(u) * sequences + j,
                       slice_at(at_.inputs[behind + j], avals_[behind + j], position));
        for (size_t j = carries_; j < node_.avals.size(); ++j)
          out.push_back(slice_at(at_.outputs[j], node_.avals[j], position));
      }
      program.run(out, at_.place);
      for (size_t i = 0; i < carries_; ++i) carry_[i] = std::move(out[i]);
    }
  }

  /// The last carries, and behind them what is stacked of each step.
  Arrays steps(const Arrays& slots, int64_t times) const {
    Pieces<Array> in(slots);
    const Arrays captured = in.next(captured_);
    Arrays carry = in.next(carries_);
    const size_t sequences = avals_.size() - captured_ - carries_;
    Arrays stacked;
    for (int64_t u = 0; u < times; ++u) {
      const Arrays results = attrs_.step(joined(joined(captured, carry), in.next(sequences)));
      Pieces<Array> out(results);
      carry = out.next(carries_);
      stacked = joined(std::move(stacked), out.rest());
    }
    return joined(std::move(carry), stacked);
  }

  /// A last carry that is a part of what was stacked would keep all of that in memory.
  Storage own(Storage carry, const Aval& aval) const {
    const bool part = std::any_of(at_.outputs.begin() + static_cast<std::ptrdiff_t>(carries_), at_.outputs.end(),
                                  [&](const Storage& s) { return s.buffer.get() == carry.buffer.get(); });
    if (!part) return carry;
    Storage alone = engine::allocate_at(at_.place, aval);
    engine::copy_to(at_.place, alone, carry, aval);
    return alone;
  }

  const ScanLoopAttrs& attrs_;
  const Node& node_;
  const ControlArgs& at_;
  const size_t captured_, carries_;
  const Avals avals_;  // of the node's inputs
  const int64_t length_;
  std::vector<Storage> carry_;
};

void run_scan(const ScanLoopAttrs& attrs, const Node& node, const ControlArgs& at) { ScanRun(attrs, node, at).run(); }

// ---- rules ----------------------------------------------------------------------------------------------------------

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

std::pair<Arrays, Arrays> scan_like(const ScanLoopAttrs& attrs, const ScanFunction& f, const Arrays& init,
                                    const Arrays& xs, bool reverse) {
  return scan(f, init, xs, attrs.length, reverse, attrs.unroll);
}

Arrays zeros_where_undefined(Arrays arrays, const Arrays& like) {
  for (size_t i = 0; i < arrays.size(); ++i)
    if (!arrays[i].defined()) arrays[i] = zeros(like[i].shape(), like[i].dtype());
  return arrays;
}

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

  const auto [last, ys] = scan_like(
      attrs,
      [&](const Arrays& carry, const Arrays& x) {
        Pieces<Array> c(carry), s(x);
        const Arrays k = c.next(n), tk = c.rest();
        const Arrays slices = s.next(in.xs.size()), tx = s.rest();
        const auto [out, tangents] = jvp(attrs.step, joined(joined(in.captured, k), slices),
                                         joined(joined(control::spread(control::picked(along.captured, moves.captured),
                                                                       moves.captured),
                                                       control::spread(tk, moves.carry)),
                                                control::spread(tx, moves.xs)));
        Pieces<Array> o(out), t(tangents);
        const Arrays next = o.next(n), tnext = t.next(n);
        return std::pair(joined(next, control::picked(tnext, moves.carry)), control::picked(t.rest(), stacked));
      },
      joined(in.carry, control::picked(zeros_where_undefined(along.carry, in.carry), moves.carry)),
      joined(in.xs, control::picked(along.xs, moves.xs)), attrs.reverse);
  Pieces<Array> l(last);
  l.next(n);
  return joined(control::spread(l.rest(), moves.carry), control::spread(ys, stacked));
}

/// What sums of many gradients are kept in.
DType sum_dtype(DType d) { return is_half(d) ? DType::float32 : d; }

// Forwards once more for the carries of each step, then backwards with the step computed again: what the steps have in
// between is never kept for all of them.
Grads vjp_scan(const ScanLoopAttrs& attrs, const VjpArgs& at) {
  const Parts<Array> in(attrs, Arrays(at.node.inputs.begin(), at.node.inputs.end()));
  const size_t n = in.carry.size();
  Parts<bool> wanted(attrs, Marks(at.needed.begin(), at.needed.end()));
  const Marks results = settle(attrs, wanted, true);
  Arrays g_carry(at.cotangents.begin(), at.cotangents.begin() + static_cast<std::ptrdiff_t>(n));
  Arrays g_stacked(at.cotangents.begin() + static_cast<std::ptrdiff_t>(n), at.cotangents.end());
  Marks seeded;  // results of the step that have a cotangent
  for (size_t i = 0; i < results.size(); ++i)
    seeded.push_back(i < n ? bool(wanted.carry[i]) : results[i] && g_stacked[i - n].defined());
  const Marks seeded_ys(seeded.begin() + static_cast<std::ptrdiff_t>(n), seeded.end());

  const auto step = [&](const Arrays& carry, const Arrays& x) {
    const Arrays out = attrs.step(joined(joined(in.captured, carry), x));
    return std::pair(Pieces<Array>(out).next(n), carry);
  };
  const Arrays carries = scan_like(attrs, step, in.carry, in.xs, attrs.reverse).second;

  Arrays sums;
  for (const Array& a : control::picked(in.captured, wanted.captured)) sums.push_back(zeros(a.shape(), sum_dtype(a.dtype())));
  const Arrays seeds = control::picked(zeros_where_undefined(g_carry, in.carry), wanted.carry);
  const auto back = [&](const Arrays& carry, const Arrays& x) {
    Pieces<Array> c(carry), s(x);
    const Arrays gk = c.next(seeds.size());
    Arrays total = c.rest();
    const Arrays k = s.next(n), slices = s.next(in.xs.size()), gy = s.rest();
    const Parts<Array> all(attrs, joined(joined(in.captured, k), slices));
    const auto varied = [&](const Arrays& some) {
      const Arrays out = attrs.step(control::spread(some, wanted.all(), all.all()));
      return control::picked(out, seeded);
    };
    const Arrays grads = vjp(varied, control::picked(all.all(), wanted.all()), joined(gk, gy)).second;
    Pieces<Array> g(grads);
    for (Array& sum : total) sum = add(sum, converted(g.next(1)[0], sum.dtype()));
    const Arrays next = g.next(seeds.size());
    return std::pair(joined(next, total), g.rest());
  };
  const auto [last, g_xs] =
      scan_like(attrs, back, joined(seeds, sums),
                joined(joined(carries, in.xs), control::picked(g_stacked, seeded_ys)), !attrs.reverse);

  Pieces<Array> l(last);
  const Arrays g_init = control::spread(l.next(seeds.size()), wanted.carry);
  Arrays g_captured = control::spread(l.rest(), wanted.captured);
  for (size_t i = 0; i < g_captured.size(); ++i)
    if (g_captured[i].defined()) g_captured[i] = converted(g_captured[i], in.captured[i].dtype());
  const Arrays all = joined(joined(g_captured, g_init), control::spread(g_xs, wanted.xs));
  return Grads(all.begin(), all.end());
}

VmapResult vmap_scan(const ScanLoopAttrs& attrs, const VmapArgs& at) {
  Parts<bool> batched(attrs, control::batched_inputs(at));
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
  const auto [last, ys] = scan_like(
      attrs,
      [&](const Arrays& carry, const Arrays& x) {
        const Arrays all =
            control::batched_call(attrs.step, joined(joined(in.captured, carry), x), batched.all(), out, at.size);
        Pieces<Array> pieces(all);
        Arrays next = pieces.next(n);
        return std::pair(std::move(next), pieces.rest());
      },
      in.carry, in.xs, attrs.reverse);
  VmapResult result{joined(last, ys), {}};
  for (size_t i = 0; i < out.size(); ++i) result.axes.push_back(!out[i] ? kUnbatched : i < n ? 0 : 1);
  return result;
}

// ---- arguments ------------------------------------------------------------------------------------------------------

Dim checked_length(const Arrays& xs, std::optional<Dim> length) {
  const std::string where = describe_source(current_source());
  for (size_t i = 0; i < xs.size(); ++i) {
    if (xs[i].rank() == 0)
      throw ShapeError({.op = "scan",
                        .got = "a 0-d array as sequence " + std::to_string(i),
                        .accepts = "arrays with a first axis to go along",
                        .where = where});
    const Dim n = xs[i].shape()[0];
    if (length && !(n == *length))
      throw ShapeError({.op = "scan",
                        .got = "sequence " + std::to_string(i) + " of shape " + to_string(xs[i].shape()),
                        .accepts = "the same first extent for all, here " + std::to_string(length->value()),
                        .where = where});
    length = n;
  }
  if (!length)
    throw ArgumentError({.op = "scan", .got = "neither xs nor length", .accepts = "one of them", .where = where});
  if (*length < Dim(0))
    throw ArgumentError({.op = "scan",
                         .got = "length " + std::to_string(length->value()),
                         .accepts = "0 or more",
                         .where = where});
  return *length;
}

}  // namespace

std::pair<Arrays, Arrays> scan(const ScanFunction& f, const Arrays& init, const Arrays& xs, std::optional<Dim> length,
                               bool reverse, int unroll) {
  ScanLoopAttrs attrs;
  attrs.length = checked_length(xs, length);
  attrs.reverse = reverse;
  attrs.carries = static_cast<int>(init.size());
  attrs.unroll = unroll;
  if (unroll < 1)
    throw ArgumentError({.op = "scan", .got = "unroll " + std::to_string(unroll), .accepts = "1 or more"});
  Avals slices = control::avals_of(init);
  for (const Array& a : xs) slices.push_back(slice_of({a.shape(), a.dtype()}));
  const BodyTrace trace(
      [&](const Arrays& in) {
        Pieces<Array> pieces(in);
        const Arrays carry = pieces.next(init.size());
        auto [next, stacked] = f(carry, pieces.rest());
        control::check_results("scan", "the carry of the step", next, carry);
        return joined(std::move(next), stacked);
      },
      slices);
  Arrays captured;
  trace.find_captured(captured);
  Marks taken(init.size(), true);
  for (size_t i = init.size(); i < slices.size(); ++i) taken.push_back(trace.uses(i));
  attrs.captured = static_cast<int>(captured.size());
  attrs.step = trace.close(captured, taken);
  const Arrays used = control::picked(xs, Marks(taken.begin() + static_cast<std::ptrdiff_t>(init.size()), taken.end()));
  const Arrays all = control::make_control(scan_op(), std::move(attrs), joined(joined(captured, init), used));
  Pieces<Array> out(all);
  Arrays last = out.next(init.size());
  return {std::move(last), out.rest()};
}

Arrays map(const Function& f, const Arrays& xs) {
  return scan([&](const Arrays&, const Arrays& x) { return std::pair(Arrays(), f(x)); }, {}, xs).second;
}

void register_control_scan(OpRegistry& ops) {
  auto op = ops.control<ScanLoopAttrs>("scan");
  op.summary("A function over the slices of sequences, one after another, with what it carries along.")
      .input("a", dtypes::any, "what the function captured, the carries it begins with, the sequences")
      .variadic()
      .field(std::make_unique<BodyField<ScanLoopAttrs>>("step", &ScanLoopAttrs::step, "one step"))
      .attr("captured", &ScanLoopAttrs::captured, "how many inputs are captured")
      .attr("carries", &ScanLoopAttrs::carries, "how many inputs, and results, are carries")
      .attr("length", &ScanLoopAttrs::length, "number of steps")
      .attr("reverse", &ScanLoopAttrs::reverse, "from the last slice to the first")
      .attr("unroll", &ScanLoopAttrs::unroll, "steps that run as one program")
      .infer(infer_scan)
      .run(run_scan)
      .vjp(vjp_scan)
      .jvp(jvp_scan)
      .vmap(vmap_scan);
}

}  // namespace plait
