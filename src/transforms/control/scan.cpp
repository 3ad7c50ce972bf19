#include "transforms/control/scan.h"

#include <algorithm>
#include <mutex>
#include <utility>

#include "base/interrupt.h"
#include "ops/view/slice.h"

namespace plait {
namespace {

using control::joined;
using control::Marks;
using control::Pieces;
using control::ScanLoopAttrs;

/// The one attribute that changes: it does not change what a node means, only what of it is put into memory.
class KeepsCarries final : public AttrField {
 public:
  KeepsCarries() : AttrField("keeps_carries", "whether the carries of each step are computed", "bool", true) {}
  AttrValue get(const void* attrs) const override {
    return static_cast<const ScanLoopAttrs*>(attrs)->keeps_carries->load();
  }
  void set(void* attrs, const AttrValue& value) const override {
    static_cast<ScanLoopAttrs*>(attrs)->keeps_carries = std::make_shared<std::atomic<bool>>(std::get<bool>(value));
  }
  void hash(const void*, Hasher&) const override {}
  void map_dims(void*, const DimMap&) const override {}
};

const OpHandle& scan_op() {
  static const OpHandle op("scan");
  return op;
}

Aval slice_of(const Aval& sequence) {
  return {Shape(std::vector<Dim>(sequence.shape.begin() + 1, sequence.shape.end())), sequence.dtype};
}

const char* check_scan(const ScanLoopAttrs& attrs, std::span<const Aval> in) {
  if (attrs.captured < 0 || attrs.carries < 0 || attrs.unroll < 1 || attrs.length < 0) return "counts that can be";
  const auto held = static_cast<size_t>(attrs.captured) + static_cast<size_t>(attrs.carries);
  if (held > in.size()) return "as many inputs as are captured and carried";
  Avals wanted(in.begin(), in.begin() + static_cast<std::ptrdiff_t>(held));
  for (const Aval& sequence : in.subspan(held)) {
    if (sequence.shape.empty() || !(sequence.shape[0] == attrs.length)) return "sequences of the loop's length";
    wanted.push_back(slice_of(sequence));
  }
  if (!control::agree(attrs.step.arguments(), wanted)) return "inputs that a step takes";
  const Avals results = attrs.step.results();
  const auto carries = static_cast<size_t>(attrs.carries);
  if (results.size() < carries) return "a result for each carry";
  return control::agree(std::span(results).first(carries), in.subspan(static_cast<size_t>(attrs.captured), carries))
             ? nullptr
             : "carries that a step gives as it takes them";
}

Avals infer_scan(const ScanLoopAttrs& attrs, std::span<const Aval>) {
  Avals out = attrs.step.results();
  const auto carries = static_cast<size_t>(attrs.carries);
  for (size_t i = 0; i < carries; ++i) out.push_back(Aval(out[i]));
  for (size_t i = carries; i < out.size(); ++i) out[i].shape.insert(out[i].shape.begin(), attrs.length);
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
        before_(node.avals.size() - carries_),
        avals_(control::input_avals(node)),
        length_(attrs.length.value()),
        keeps_(attrs.keeps_carries->load()) {}

  void run() {
    for (size_t j = carries_; j < node_.avals.size(); ++j)
      at_.outputs[j] = j < before_ || keeps_ ? engine::allocate_at(at_.place, node_.avals[j]) : absent(node_.avals[j]);
    for (size_t i = 0; i < carries_; ++i) carry_.push_back(std::move(at_.inputs[captured_ + i]));
    for (size_t i = 0; i < carries_ && keeps_ && length_ > 0; ++i) {
      Storage first = begun_with(i, 0);
      engine::copy_to(at_.place, first, carry_[i], node_.avals[i]);
    }
    const int64_t unroll = std::clamp<int64_t>(attrs_.unroll, 1, std::max<int64_t>(length_, 1));
    const int64_t rest = length_ % unroll;
    if (length_ >= unroll) turns(unroll, 0, length_ - rest);
    if (rest > 0) turns(rest, length_ - rest, length_);
    for (size_t i = 0; i < carries_; ++i) at_.outputs[i] = own(std::move(carry_[i]), node_.avals[i]);
  }

 private:
  /// Stands for what nobody asked for.
  static Storage absent(const Aval& aval) { return {allocate(0), 0, row_major_strides(aval.shape), true}; }

  int64_t position(int64_t turn) const { return attrs_.reverse ? length_ - 1 - turn : turn; }
  Storage result(size_t j, int64_t turn) const { return slice_at(at_.outputs[j], node_.avals[j], position(turn)); }
  /// Where the carry is kept that a turn begins with.
  Storage begun_with(size_t i, int64_t turn) const { return result(before_ + i, turn); }

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
      for (size_t i = 0; i < carries_; ++i) {
        program.give(captured_ + i, std::move(carry_[i]));
        if (keeps_ && t + times < length_) out[i] = begun_with(i, t + times);
      }
      for (int64_t u = 0; u < times; ++u) {
        for (size_t j = 0; j < sequences; ++j)
          program.give(behind + static_cast<size_t>(u) * sequences + j,
                       slice_at(at_.inputs[behind + j], avals_[behind + j], position(t + u)));
        for (size_t j = carries_; j < before_; ++j) out.push_back(result(j, t + u));
        for (size_t i = 0; i < carries_ && keeps_ && u + 1 < times; ++i) out.push_back(begun_with(i, t + u + 1));
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
      if (keeps_ && u + 1 < times) stacked = joined(std::move(stacked), carry);
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
  const size_t before_;  // the results in front of the carries of each step
  const Avals avals_;  // of the node's inputs
  const int64_t length_;
  const bool keeps_;
  std::vector<Storage> carry_;
};

void run_scan(const ScanLoopAttrs& attrs, const Node& node, const ControlArgs& at) { ScanRun(attrs, node, at).run(); }

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
    throw ArgumentError(
        {.op = "scan", .got = "length " + std::to_string(length->value()), .accepts = "0 or more", .where = where});
  return *length;
}

// One operation after the other, as a loop in the user's language would.
std::pair<Arrays, Arrays> scan_by_hand(const ScanFunction& f, Arrays carry, const Arrays& xs, int64_t length,
                                       bool reverse) {
  std::vector<Arrays> rows;  // per stacked result
  for (int64_t t = 0; t < length; ++t) {
    Arrays x;
    for (const Array& a : xs) x.push_back(squeeze(slice_axis(a, 0, reverse ? length - 1 - t : t, 1), 0));
    auto [next, y] = f(carry, x);
    control::check_results("scan", "the carry of the step", next, carry);
    carry = std::move(next);
    rows.resize(y.size());
    for (size_t j = 0; j < y.size(); ++j) rows[j].push_back(std::move(y[j]));
  }
  Arrays stacked;
  for (Arrays& r : rows) {
    if (reverse) std::reverse(r.begin(), r.end());
    stacked.push_back(stack(r));
  }
  return {std::move(carry), std::move(stacked)};
}

}  // namespace

Arrays control::scan_node(const ScanFunction& f, const Arrays& init, const Arrays& xs, Dim length, bool reverse,
                          int unroll) {
  ScanLoopAttrs attrs;
  attrs.length = length;
  attrs.reverse = reverse;
  attrs.carries = static_cast<int>(init.size());
  attrs.unroll = unroll;
  Avals slices = control::avals_of(init);
  for (const Array& a : xs) slices.push_back(slice_of({a.shape(), a.dtype()}));
  const BodyTrace trace(
      "scan",
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
  return control::make_control(scan_op(), std::move(attrs), joined(joined(captured, init), used));
}

bool control::gives(const Node& node, uint32_t output) {
  if (node.op != &*scan_op()) return true;
  const auto kept = node.avals.size() - static_cast<size_t>(node.attrs_as<ScanLoopAttrs>().carries);
  return output < kept || keep_carries(node);
}

bool control::keep_carries(const Node& node) {
  const auto& attrs = node.attrs_as<ScanLoopAttrs>();
  const std::lock_guard lock(graph_mutex());
  switch (node.state.load(std::memory_order_acquire)) {
    case Node::State::pending: attrs.keeps_carries->store(true); return true;
    case Node::State::claimed: return false;  // it may have looked already
    case Node::State::done: break;
  }
  for (size_t i = node.avals.size() - static_cast<size_t>(attrs.carries); i < node.avals.size(); ++i)
    if (node.storages[i].buffer->bytes() == 0 && node.avals[i].shape.count_value() > 0) return false;
  return true;
}

std::pair<Arrays, Arrays> scan(const ScanFunction& f, const Arrays& init, const Arrays& xs, std::optional<Dim> length,
                               bool reverse, int unroll) {
  const Dim n = checked_length(xs, length);
  if (unroll < 1)
    throw ArgumentError({.op = "scan", .got = "unroll " + std::to_string(unroll), .accepts = "1 or more"});
  if (control::by_hand(joined(init, xs)) && n.value() > 0) return scan_by_hand(f, init, xs, n.value(), reverse);
  const Arrays all = control::scan_node(f, init, xs, n, reverse, unroll);
  Pieces<Array> out(all);
  Arrays last = out.next(init.size());
  return {std::move(last), out.next(all.size() - 2 * init.size())};
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
      .field(std::make_unique<KeepsCarries>())
      .infer(infer_scan)
      .check(check_scan)
      .run(run_scan)
      .vjp(control::vjp_scan)
      .jvp(control::jvp_scan)
      .vmap(control::vmap_scan);
}

}  // namespace plait
