// Which values have to be in memory, and which a region that reads them computes again.
#include <algorithm>

#include "engine/fuse.h"

namespace plait::engine {
namespace {

class Demand {
 public:
  Demand(const Graph& graph, Fuse how, Regions& regions) : g_(graph), how_(how), r_(regions) {}

  void run() {
    auto& demanded = r_.demanded;
    demanded.assign(g_.values.size(), 0);
    reader_.assign(g_.values.size(), kNoGroup);
    last_.assign(g_.values.size(), 0);
    for (uint32_t node = static_cast<uint32_t>(g_.nodes.size()); node-- > 0;) {
      const ValueId out = g_.first_value[node];
      if (g_.needed[node])
        for (size_t k = 0; k < g_.nodes[node]->avals.size(); ++k) demanded[out + k] = 1;
      note_last_use(node);
      switch (r_.roles[node]) {
        case Role::kernel:
          for (ValueId v : g_.inputs_of(node)) demanded[v] = 1;
          break;
        case Role::view:
        case Role::index_map:
          if (!passes_on(g_.nodes[node]->op)) {
            if (demanded[out]) demanded[g_.inputs_of(node)[0]] = 1;
            break;
          }
          for (size_t k = 0; k < g_.nodes[node]->avals.size(); ++k)
            if (demanded[out + k]) demanded[aliased(g_, static_cast<ValueId>(out + k))] = 1;
          break;
        case Role::barrier:
          for (ValueId v : g_.inputs_of(node)) {
            const ValueId base = r_.base_of(g_, v).value;
            const int64_t p = producer(g_, base);
            if (p < 0 || r_.roles[static_cast<size_t>(p)] != Role::constant) demanded[base] = 1;
          }
          for (size_t k = 0; k < g_.nodes[node]->avals.size(); ++k) {
            demanded[out + k] = 1;
            demanded[aliased(g_, static_cast<ValueId>(out + k))] = 1;
          }
          break;
        case Role::constant:
        case Role::unused: break;
        case Role::grouped:
          for (ValueId v : g_.inputs_of(node)) find_demand_for(node, v);
      }
    }
    for (const Group& group : r_.groups) again_.push_back(group.nodes.size());
    for (const Group& group : r_.groups) demand_of_readers(group);
  }

 private:
  // The newest node that looks at each value, also through views.
  void note_last_use(uint32_t node) {
    const Role role = r_.roles[node];
    if (role == Role::unused) return;
    uint32_t last = node;
    if (role == Role::view || role == Role::index_map || role == Role::barrier)
      for (size_t k = 0; k < g_.nodes[node]->avals.size(); ++k) last = std::max(last, last_[g_.first_value[node] + k]);
    for (ValueId v : g_.inputs_of(node)) last_[v] = std::max(last_[v], last);
  }

  void find_demand_for(uint32_t node, ValueId v) {
    const bool reduction = g_.nodes[node]->op->kind == OpKind::reduction;
    const Base base = r_.base_of(g_, v);
    const int64_t p = producer(g_, base.value);
    const int32_t group = r_.group_of[node];
    if (p >= 0 && r_.group_of[static_cast<size_t>(p)] == group) return;
    // Reductions read constants from memory: a scalar has no row to run over.
    if (p >= 0 && r_.roles[static_cast<size_t>(p)] == Role::constant && !reduction) return;
    int32_t& reader = reader_[base.value];
    if (p >= 0 && (reader == kNoGroup || reader == group) && may_compute_again(static_cast<uint32_t>(p), node, v, base))
      reader = group;
    else
      r_.demanded[base.value] = 1;
  }

  // Whether the region of `node` could compute its operand itself: once for each element, not more often.
  bool may_compute_again(uint32_t operand, uint32_t node, ValueId v, const Base& base) const {
    const Group& group = r_.groups[r_.group_of[node]];
    if (how_ == Fuse::nothing || r_.roles[operand] != Role::grouped ||
        g_.nodes[operand]->op->kind != OpKind::elementwise || g_.nodes[node]->op->kind != OpKind::elementwise ||
        g_.places[operand] != group.place)
      return false;
    const AxisMap axes = composed(base.axes, operand_axes(g_, v, g_.first_value[node], r_.axes[node]));
    uint32_t covered = 0;
    for (const int8_t axis : axes)
      if (axis != kNoAxis) covered |= 1u << axis;
    for (size_t i = 0; i < group.space.size(); ++i)
      if (group.space[i] != 1 && !(covered >> i & 1)) return false;
    return true;
  }

  // Values that only one other region reads: they are stored, or that region computes them again where it then has less
  // to read. In a gradient it is the backward pass, which wants several values of a forward region made of one.
  void demand_of_readers(const Group& group) {
    double stored = 0, read = 0;
    std::vector<ValueId> values, from;
    for (const uint32_t node : group.nodes) {
      const ValueId v = g_.first_value[node];
      if (reader_[v] == kNoGroup || r_.demanded[v]) continue;
      values.push_back(v);
      stored += relative_size(g_, v);
    }
    if (values.empty()) return;
    const size_t more = sources_of(values, from);
    uint32_t then = 0;  // when the readers run, at the latest
    for (const ValueId v : values) then = std::max(then, r_.groups[reader_[v]].nodes.back());
    for (const ValueId v : from)
      if (!stays_until(v, then)) read += relative_size(g_, v);
    const bool fits = std::all_of(values.begin(), values.end(), [&](ValueId v) {
      return again_[static_cast<size_t>(reader_[v])] + more <= kMaxGroupNodes;
    });
    if (fits && read < stored) {
      for (const ValueId v : from) r_.demanded[v] = 1;
      for (const ValueId v : values) again_[static_cast<size_t>(reader_[v])] += more;
    } else {
      for (const ValueId v : values) r_.demanded[narrowest(v)] = 1;
    }
  }

  // Whether a value is in memory anyway when a node runs.
  bool stays_until(ValueId v, uint32_t node) const {
    const int64_t p = producer(g_, v);
    return p < 0 || g_.needed[static_cast<size_t>(p)] || (r_.demanded[v] && last_[v] > node);
  }

  // What values of one region are computed from: other regions' values, reductions, and what is in memory anyway. The result
  // is how many values that takes; the search ends where it is too many.
  size_t sources_of(const std::vector<ValueId>& values, std::vector<ValueId>& from) const {
    std::vector<ValueId> work = values, seen = values;
    while (!work.empty()) {
      const auto node = static_cast<uint32_t>(producer(g_, work.back()));
      work.pop_back();
      for (ValueId v : g_.inputs_of(node)) {
        const ValueId base = r_.base_of(g_, v).value;
        if (std::find(seen.begin(), seen.end(), base) != seen.end()) continue;
        seen.push_back(base);
        if (seen.size() > kMaxGroupNodes) return seen.size();
        const int64_t p = producer(g_, base);
        if (p >= 0 && r_.roles[static_cast<size_t>(p)] == Role::constant) continue;
        const bool inside = p >= 0 && r_.group_of[static_cast<size_t>(p)] == r_.group_of[node] && !r_.demanded[base] &&
                            g_.nodes[static_cast<size_t>(p)]->op->kind == OpKind::elementwise;
        (inside ? work : from).push_back(base);
      }
    }
    return seen.size();
  }

  // The value itself, or the narrower one in its region that it was converted from.
  ValueId narrowest(ValueId v) const {
    for (;;) {
      const auto node = static_cast<uint32_t>(producer(g_, v));
      const auto inputs = g_.inputs_of(node);
      if (inputs.size() != 1) return v;
      const ValueId from = r_.base_of(g_, inputs[0]).value;
      const int64_t p = producer(g_, from);
      if (p < 0 || r_.group_of[static_cast<size_t>(p)] != r_.group_of[node] ||
          g_.nodes[static_cast<size_t>(p)]->op->kind != OpKind::elementwise ||
          relative_size(g_, from) >= relative_size(g_, v) || g_.rank(from) != g_.rank(v))
        return v;
      v = from;
    }
  }

  const Graph& g_;
  const Fuse how_;
  Regions& r_;
  std::vector<uint32_t> last_;  // per value: the newest node that looks at it
  std::vector<size_t> again_;  // per group: its operations, with those of other groups that it does again
  std::vector<int32_t> reader_;  // per value: the only other region that reads it, and could compute it
};

}  // namespace

void find_demand(const Graph& graph, Fuse how, Regions& regions) { Demand(graph, how, regions).run(); }

}  // namespace plait::engine
