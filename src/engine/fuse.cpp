#include "engine/fuse.h"

#include <algorithm>

#include "graph/core_attrs.h"

namespace plait::engine {
namespace {

constexpr int kMaxSearch = 4096;  // dependency searches give up (and do not fuse) beyond this many steps
constexpr int kMaxExactSearch = 1 << 16;

class Former {
 public:
  Former(const Graph& graph, Fuse how) : g_(graph), how_(how) {}

  Regions run() {
    const size_t n = g_.nodes.size();
    r_.roles.resize(n);
    r_.group_of.assign(n, kNoGroup);
    r_.levels.assign(n, ir::Level::row);
    r_.axes.resize(n);
    after_.assign(n, 0);
    const std::vector<uint8_t> used = used_nodes();
    for (uint32_t node = 0; node < n; ++node) {
      r_.roles[node] = used[node] ? role_of(node) : Role::unused;
      if (r_.roles[node] != Role::grouped) continue;
      const bool reduction = g_.nodes[node]->op->kind == OpKind::reduction;
      const bool joined = how_ != Fuse::nothing && (reduction ? join_reduction(node) : join_elementwise(node));
      if (!joined) found_group(node);
    }
    find_demand(g_, how_, r_);
    return std::move(r_);
  }

 private:
  // Nodes that something asked for reads. Not used are those that lead only to the other inputs of an alias.
  std::vector<uint8_t> used_nodes() const {
    std::vector<uint8_t> used(g_.nodes.size());
    std::vector<uint8_t> read(g_.values.size());
    for (uint32_t node = static_cast<uint32_t>(g_.nodes.size()); node-- > 0;) {
      const OpDef* op = g_.nodes[node]->op;
      const ValueId first = g_.first_value[node];
      const auto end = static_cast<ValueId>(first + g_.nodes[node]->avals.size());
      used[node] = g_.needed[node];
      for (ValueId v = first; v < end; ++v) used[node] |= read[v];
      if (!used[node]) continue;
      if (passes_on(op) && !op->barrier) {
        for (ValueId v = first; v < end; ++v) read[aliased(g_, v)] |= read[v] | g_.needed[node];
      } else {
        for (ValueId v : g_.inputs_of(node)) read[v] = 1;
      }
    }
    return used;
  }

  Role role_of(uint32_t node) const {
    const OpDef* op = g_.nodes[node]->op;
    switch (op->kind) {
      case OpKind::elementwise:
      case OpKind::reduction: return Role::grouped;
      case OpKind::constant: return Role::constant;
      case OpKind::placeholder: return Role::index_map;
      case OpKind::alias: return op->barrier ? Role::barrier : Role::index_map;
      case OpKind::opaque:
      case OpKind::control: return Role::kernel;
      case OpKind::view: break;
    }
    return sees_through(g_, node) ? Role::index_map : Role::view;
  }

  int32_t group_of_value(ValueId v) const {
    const int64_t node = producer(g_, v);
    return node < 0 ? kNoGroup : r_.group_of[static_cast<size_t>(node)];
  }

  // --- joining -----------------------------------------------------------------------------------------------------

  struct Placement {
    AxisMap axes;  // of the node's output in the group's space
    ir::Level level = ir::Level::row;
    bool after = false;  // depends on a reduction of this group
  };

  bool place_elementwise(uint32_t node, int32_t group, Placement& place) const {
    const Group& to = r_.groups[group];
    const ValueId out = g_.first_value[node];
    const auto shape = g_.shape(out);
    place.axes.assign(shape.size(), kNoAxis);
    bool from_outer = true;  // no operand inside the group has the row level
    for (ValueId v : g_.inputs_of(node)) {
      const Base base = r_.base_of(g_, v);
      if (group_of_value(base.value) != group) continue;
      const auto p = static_cast<uint32_t>(producer(g_, base.value));
      const AxisMap to_out = composed(base.axes, aligned(g_, v, out));
      for (size_t i = 0; i < to_out.size(); ++i) {
        if (to_out[i] == kNoAxis) continue;
        int8_t& at = place.axes[static_cast<size_t>(to_out[i])];
        const int8_t want = r_.axes[p][i];
        if (want == kNoAxis) continue;
        if (at != kNoAxis && at != want) return false;
        at = want;
      }
      place.after |= after_[p] != 0;
      from_outer &= r_.levels[p] != ir::Level::row;
    }
    // Axes that only operands from outside reach.
    const bool whole = std::equal(shape.begin(), shape.end(), to.space.begin(), to.space.end());
    uint32_t covered = 0;
    for (size_t i = 0; i < shape.size(); ++i) {
      if (place.axes[i] == kNoAxis && shape[i] != 1) {
        if (!whole) return false;
        place.axes[i] = static_cast<int8_t>(i);
      }
      if (place.axes[i] != kNoAxis) {
        const auto axis = static_cast<size_t>(place.axes[i]);
        if (to.space[axis] != shape[i] || (covered >> axis & 1)) return false;
        covered |= 1u << axis;
      }
    }
    uint32_t real = 0;  // axes that are not 1 throughout
    for (size_t i = 0; i < to.space.size(); ++i)
      if (to.space[i] != 1) real |= 1u << i;
    if ((covered & real) == real) {
      place.level = ir::Level::row;
      if (real == 0 && from_outer && place.after) place.level = ir::Level::outer;  // everything has one element
    } else if ((covered & real) == (real & ~to.reduced) && from_outer && to.reduced != 0) {
      place.level = ir::Level::outer;
    } else if ((covered & real) == 0 && from_outer && !place.after) {
      place.level = ir::Level::scalar;
    } else {
      return false;
    }
    // With all reduced extents equal to 1 a value could count as either level; what feeds on reductions is outer.
    if (place.level == ir::Level::row && from_outer && place.after && (real & to.reduced) == 0 && !whole)
      place.level = ir::Level::outer;
    return !(place.after && place.level == ir::Level::row && !to.trailing());
  }

  bool join_elementwise(uint32_t node) {
    for (ValueId v : g_.inputs_of(node)) {
      const int32_t group = group_of_value(r_.base_of(g_, v).value);
      if (group == kNoGroup || !takes(group, node)) continue;
      Placement place;
      if (!place_elementwise(node, group, place) || !independent(node, group)) continue;
      add(node, group, place);
      merge_operand_groups(node, group);
      return true;
    }
    return false;
  }

  bool join_reduction(uint32_t node) {
    const ValueId v = g_.inputs_of(node)[0];
    const Base base = r_.base_of(g_, v);
    const int32_t group = group_of_value(base.value);
    if (group == kNoGroup || !takes(group, node)) return false;
    Group& to = r_.groups[group];
    const auto p = static_cast<uint32_t>(producer(g_, base.value));
    if (r_.levels[p] != ir::Level::row) return false;
    // The reduced value has to run over the whole space.
    const size_t rank = g_.shape(v).size();
    AxisMap placed(rank, kNoAxis);
    uint32_t covered = 0;
    for (size_t i = 0; i < base.axes.size(); ++i) {
      if (base.axes[i] == kNoAxis || r_.axes[p][i] == kNoAxis) continue;
      placed[static_cast<size_t>(base.axes[i])] = r_.axes[p][i];
      covered |= 1u << r_.axes[p][i];
    }
    for (size_t i = 0; i < to.space.size(); ++i)
      if (to.space[i] != 1 && !(covered >> i & 1)) return false;
    const auto shape = g_.shape(v);
    for (size_t i = 0; i < rank; ++i)
      if (placed[i] == kNoAxis && shape[i] != 1) return false;  // stretched by a broadcast in between
    uint32_t reduced = 0;
    const ReduceAttrs& attrs = g_.nodes[node]->attrs_as<ReduceAttrs>();
    for (int axis : attrs.axes)
      if (placed[static_cast<size_t>(axis)] != kNoAxis) reduced |= 1u << placed[static_cast<size_t>(axis)];
    if (reduced == 0 || (to.reduced != 0 && to.reduced != reduced)) return false;
    Placement place;
    place.level = ir::Level::outer;
    place.after = true;
    for (size_t i = 0; i < rank; ++i) {
      const bool gone = std::binary_search(attrs.axes.begin(), attrs.axes.end(), static_cast<int>(i));
      if (!gone) place.axes.push_back(placed[i]);
      if (gone && attrs.keepdims) place.axes.push_back(kNoAxis);
    }
    if (after_[p] && !to.trailing()) return false;
    to.reduced = reduced;
    add(node, group, place);
    return true;
  }

  void found_group(uint32_t node) {
    const bool reduction = g_.nodes[node]->op->kind == OpKind::reduction;
    Group group;
    group.place = g_.places[node];
    group.founder = reduction ? g_.inputs_of(node)[0] : g_.first_value[node];
    const auto shape = g_.shape(group.founder);
    group.space.assign(shape.begin(), shape.end());
    if (static_cast<int>(group.space.size()) > kMaxRegionRank)
      throw ShapeError({.op = g_.nodes[node]->op->name,
                        .got = "an array of rank " + std::to_string(group.space.size()),
                        .accepts = "at most " + std::to_string(kMaxRegionRank) + " axes",
                        .hint = "reshape to fewer axes first",
                        .where = describe_source(g_.nodes[node]->source)});
    Placement place;
    if (reduction) {
      const ReduceAttrs& attrs = g_.nodes[node]->attrs_as<ReduceAttrs>();
      for (int axis : attrs.axes) group.reduced |= 1u << axis;
      place.level = group.reduced ? ir::Level::outer : ir::Level::row;
      place.after = true;
      for (size_t i = 0; i < group.space.size(); ++i) {
        const bool gone = group.reduced >> i & 1;
        if (!gone) place.axes.push_back(static_cast<int8_t>(i));
        if (gone && attrs.keepdims) place.axes.push_back(kNoAxis);
      }
    } else {
      place.axes = identity(group.space.size());
      // A single element: what larger regions may take in as a scalar.
      if (is_scalar_space(group)) place.level = ir::Level::row;
    }
    r_.groups.push_back(std::move(group));
    add(node, static_cast<int32_t>(r_.groups.size() - 1), place);
    if (how_ != Fuse::nothing && !reduction) merge_operand_groups(node, static_cast<int32_t>(r_.groups.size() - 1));
  }

  void add(uint32_t node, int32_t group, const Placement& place) {
    r_.group_of[node] = group;
    r_.axes[node] = place.axes;
    r_.levels[node] = place.level;
    after_[node] = place.after;
    r_.groups[group].nodes.push_back(node);
  }

  bool takes(int32_t group, uint32_t node) const {
    return r_.groups[group].place == g_.places[node] && has_room(group, 1);
  }
  bool has_room(int32_t group, size_t more) const { return r_.groups[group].nodes.size() + more <= kMaxGroupNodes; }

  static bool is_scalar_space(const Group& group) {
    return group.reduced == 0 && std::all_of(group.space.begin(), group.space.end(), [](SymbolId s) { return s == 1; });
  }

  // --- merging -----------------------------------------------------------------------------------------------------

  void merge_operand_groups(uint32_t node, int32_t into) {
    for (ValueId v : g_.inputs_of(node)) {
      const int32_t other = group_of_value(r_.base_of(g_, v).value);
      if (other == kNoGroup || other == into || !has_room(into, r_.groups[other].nodes.size())) continue;
      if (!mergeable(into, other)) continue;
      merge(into, other);
    }
  }

  bool mergeable(int32_t into, int32_t other) const {
    const Group& a = r_.groups[into];
    const Group& b = r_.groups[other];
    if (a.place != b.place) return false;
    const bool scalar = is_scalar_space(b) && !is_scalar_space(a);
    if (!scalar) {
      if (a.space != b.space) return false;
      if (a.reduced != 0 && b.reduced != 0 && a.reduced != b.reduced) return false;
      if (!runs_alike(into, other) || !runs_alike(other, into)) return false;
      const uint32_t reduced = a.reduced | b.reduced;
      Group both = a;
      both.reduced = reduced;
      // Row values that follow a reduction need trailing rows; so do those of the other group once it counts as theirs.
      if (!both.trailing() && (feeds_rows(a) || feeds_rows(b))) return false;
    }
    return !reaches(into, other) && !reaches(other, into);
  }

  /// Whether values that nodes of `group` take from `other` run along the same axes of the space in both: x + sum(y, -1) of two (n, n)
  /// has the sum of row i in column i.
  bool runs_alike(int32_t group, int32_t other) const {
    for (uint32_t node : r_.groups[group].nodes) {
      const bool reduction = g_.nodes[node]->op->kind == OpKind::reduction;
      for (ValueId v : g_.inputs_of(node)) {
        const Base base = r_.base_of(g_, v);
        if (group_of_value(base.value) != other) continue;
        const AxisMap& there = r_.axes[static_cast<size_t>(producer(g_, base.value))];
        const AxisMap to = reduction ? base.axes : composed(base.axes, aligned(g_, v, g_.first_value[node]));
        for (size_t i = 0; i < to.size(); ++i) {
          if (to[i] == kNoAxis || there[i] == kNoAxis) continue;
          // A reduction whose operand is elsewhere founded its group: the space is that of the operand.
          const int8_t here = reduction ? to[i] : r_.axes[node][static_cast<size_t>(to[i])];
          if (here != there[i]) return false;
        }
      }
    }
    return true;
  }

  bool feeds_rows(const Group& group) const {
    return std::any_of(group.nodes.begin(), group.nodes.end(),
                       [&](uint32_t n) { return after_[n] && r_.levels[n] == ir::Level::row; });
  }

  void merge(int32_t into, int32_t other) {
    Group& a = r_.groups[into];
    Group& b = r_.groups[other];
    const bool scalar = is_scalar_space(b) && !is_scalar_space(a);
    for (uint32_t node : b.nodes) {
      r_.group_of[node] = into;
      if (scalar) {
        r_.levels[node] = ir::Level::scalar;
        r_.axes[node].assign(r_.axes[node].size(), kNoAxis);
      }
    }
    std::vector<uint32_t> nodes;
    nodes.reserve(a.nodes.size() + b.nodes.size());
    std::merge(a.nodes.begin(), a.nodes.end(), b.nodes.begin(), b.nodes.end(), std::back_inserter(nodes));
    a.nodes = std::move(nodes);
    a.reduced |= b.reduced;
    b.nodes.clear();
    b.alive = false;
  }

  // --- dependencies ------------------------------------------------------------------------------------------------

  // Whether no operand of `node` from outside `group` depends on the group.
  bool independent(uint32_t node, int32_t group) {
    std::vector<uint32_t> from;
    for (ValueId v : g_.inputs_of(node)) {
      const int64_t p = producer(g_, v);
      if (p >= 0 && r_.group_of[static_cast<size_t>(p)] != group) from.push_back(static_cast<uint32_t>(p));
    }
    return from.empty() || !search(std::move(from), group);
  }

  // Whether group `from` depends on group `to` through something that is in neither.
  bool reaches(int32_t from, int32_t to) const {
    std::vector<uint32_t> start;
    for (uint32_t node : r_.groups[from].nodes)
      for (ValueId v : g_.inputs_of(node)) {
        const int64_t p = producer(g_, v);
        if (p < 0) continue;
        const int32_t pg = r_.group_of[static_cast<size_t>(p)];
        if (pg != from && pg != to) start.push_back(static_cast<uint32_t>(p));
      }
    return !start.empty() && search(std::move(start), to, from);
  }

  // No unit that lies before this node depends on the target: only a group with nodes on both sides leads across. Unless
  // exact, that the target's own first node is such a bound is taken for granted, though an older group may have grown since.
  uint32_t bound_of(int32_t target) const {
    uint32_t bound = r_.groups[target].nodes.front();
    for (bool moved = how_ == Fuse::exactly; moved;) {
      moved = false;
      for (const Group& group : r_.groups) {
        if (!group.alive || group.nodes.front() >= bound || group.nodes.back() < bound) continue;
        bound = group.nodes.front();
        moved = true;
      }
    }
    return bound;
  }

  // Searches backwards by whole units (groups run as one). Gives up as "found" when it takes too long.
  bool search(std::vector<uint32_t> work, int32_t target, int32_t ignored = kNoGroup) const {
    const uint32_t bound = bound_of(target);
    const int most = how_ == Fuse::exactly ? kMaxExactSearch : kMaxSearch;
    ++searches_;
    seen_nodes_.resize(g_.nodes.size());
    seen_groups_.resize(r_.groups.size());
    const auto first_time = [&](uint32_t& seen) { return seen != searches_ && (seen = searches_, true); };
    const auto expand = [&](uint32_t node) {
      for (ValueId v : g_.inputs_of(node)) {
        const int64_t p = producer(g_, v);
        if (p >= 0) work.push_back(static_cast<uint32_t>(p));
      }
    };
    int steps = 0;
    while (!work.empty()) {
      const uint32_t node = work.back();
      work.pop_back();
      const int32_t group = r_.group_of[node];
      if (group == target) return true;
      if (group != kNoGroup) {
        if (group == ignored || r_.groups[group].nodes.back() < bound) continue;
        if (!first_time(seen_groups_[static_cast<size_t>(group)])) continue;
        for (uint32_t member : r_.groups[group].nodes) expand(member);
        steps += static_cast<int>(r_.groups[group].nodes.size());
      } else {
        if (node < bound || !first_time(seen_nodes_[node])) continue;
        expand(node);
      }
      if (++steps > most) return true;
    }
    return false;
  }

  const Graph& g_;
  const Fuse how_;
  Regions r_;
  std::vector<uint8_t> after_;
  mutable std::vector<uint32_t> seen_nodes_, seen_groups_;  // number of the search that came by last
  mutable uint32_t searches_ = 0;
};

}  // namespace

bool Group::trailing() const {
  const uint32_t all = space.size() >= 32 ? ~0u : (1u << space.size()) - 1;
  for (size_t k = 0; k <= space.size(); ++k)
    if (reduced == (all & ~((1u << k) - 1))) return true;
  return false;
}

Regions form_regions(const Graph& graph, Fuse how) { return Former(graph, how).run(); }

}  // namespace plait::engine
