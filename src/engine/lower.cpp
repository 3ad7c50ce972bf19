#include <algorithm>
#include <unordered_map>

#include "engine/devices.h"
#include "engine/fuse.h"
#include "engine/verify.h"
#include "graph/op.h"

namespace plait::engine {
namespace {

// Builds the program of one group: operands become instructions, loads or bound scalars.
class Lowering {
 public:
  Lowering(const Graph& graph, const Regions& regions, const Group& group) : g_(graph), r_(regions), group_(group) {
    // Iteration axes: the kept axes in order, then the reduced ones.
    const size_t rank = group.space.size();
    position_.resize(rank);
    for (const bool reduced : {false, true})
      for (size_t axis = 0; axis < rank; ++axis) {
        if ((group.reduced >> axis & 1) != static_cast<uint32_t>(reduced)) continue;
        position_[axis] = static_cast<int8_t>(step_.extents.size());
        step_.extents.push_back({group.founder, static_cast<int>(axis)});
        if (reduced) ++program_.row_rank;
      }
    program_.rank = static_cast<int>(rank);
  }

  RegionStep run() {
    for (uint32_t node : group_.nodes) values_[g_.first_value[node]] = lower(node);
    for (uint32_t node : group_.nodes) {
      const ValueId out = g_.first_value[node];
      if (!r_.demanded[out]) continue;
      const ir::Val value = builder_.spread(values_[out], r_.levels[node]);
      program_.outputs.push_back({value.id, g_.dtype(out), r_.levels[node]});
      step_.outputs.push_back({out, iteration_axes(r_.axes[node])});
    }
    step_.nodes = group_.nodes;
    program_.code = builder_.take();
    find_donors();
    if (verifying()) verify_program(program_);
    if (dumping("lowered")) dump("lowered", to_string(program_));
    step_.code = compile_region_for(group_.place, std::move(program_));
    return std::move(step_);
  }

 private:
  ir::Val lower(uint32_t node) {
    const Node& n = *g_.nodes[node];
    const ValueId out = g_.first_value[node];
    const DType dtype = g_.dtype(out);
    const auto inputs = g_.inputs_of(node);
    if (n.op->kind == OpKind::reduction) {
      const ir::Val x = reduced_operand(node, inputs[0]);
      const bool whole = group_.reduced == 0;  // nothing to combine: the value itself
      const ir::Val y = whole ? x : builder_.reduce(n.op->reduce, builder_.spread(x, ir::Level::row));
      return builder_.rounded(y, dtype);
    }
    SmallVector<ir::Val, 3> operands;
    for (ValueId v : inputs) operands.push_back(operand(v, operand_axes(g_, v, out, r_.axes[node])));
    const ir::Val y = n.op->lower(builder_, operands, n.attrs.get(), dtype);
    check_internal(y.type() == ir::compute_type(dtype),
                   ("formula of " + n.op->name + " gives another type than its rule").c_str());
    return builder_.rounded(y, dtype);
  }

  bool in_group(ValueId v) const {
    const int64_t p = producer(g_, v);
    return p >= 0 && values_.contains(v) && r_.group_of[static_cast<size_t>(p)] == r_.group_of[group_.nodes[0]];
  }

  // The operand of a node, whose axes run along `axes` of the space.
  ir::Val operand(ValueId v, const AxisMap& axes) {
    const Base base = r_.base_of(g_, v);
    if (in_group(base.value)) return values_[base.value];
    const int64_t p = producer(g_, base.value);
    if (p >= 0 && r_.roles[static_cast<size_t>(p)] == Role::constant) return scalar(static_cast<uint32_t>(p));
    const AxisMap own = composed(base.axes, axes);
    return p < 0 || r_.demanded[base.value] ? load(base.value, own, false) : again(base.value, own);
  }

  // A value of another region that is not in memory, from what is.
  ir::Val again(ValueId v, const AxisMap& axes) {
    auto& known = again_[v];
    for (const auto& [along, value] : known)
      if (along == axes) return value;
    const auto node = static_cast<uint32_t>(producer(g_, v));
    const Node& n = *g_.nodes[node];
    check_internal(r_.roles[node] == Role::grouped && n.op->kind == OpKind::elementwise,
                   ("a region reads a value of " + n.op->name + " that is not in memory").c_str());
    SmallVector<ir::Val, 3> operands;
    for (ValueId in : g_.inputs_of(node)) operands.push_back(operand(in, operand_axes(g_, in, v, axes)));
    const ir::Val y = builder_.rounded(n.op->lower(builder_, operands, n.attrs.get(), g_.dtype(v)), g_.dtype(v));
    again_[v].push_back({axes, y});
    return y;
  }

  ir::Val reduced_operand(uint32_t node, ValueId v) {
    const Base base = r_.base_of(g_, v);
    if (in_group(base.value) && r_.levels[static_cast<size_t>(producer(g_, base.value))] == ir::Level::row)
      return values_[base.value];
    // The founder of the group: its axes are the space's.
    (void)node;
    AxisMap axes(g_.shape(v).size());
    for (size_t i = 0; i < axes.size(); ++i) axes[i] = static_cast<int8_t>(i);
    return load(base.value, composed(base.axes, axes), true);
  }

  ir::Val scalar(uint32_t node) {
    const auto at = std::find(step_.constants.begin(), step_.constants.end(), node);
    const auto k = at - step_.constants.begin();
    if (at == step_.constants.end()) {
      step_.constants.push_back(node);
      program_.scalars.push_back(g_.dtype(g_.first_value[node]));
    }
    return builder_.scalar(k, program_.scalars[static_cast<size_t>(k)]);
  }

  // A value in memory, whose axes run along `along` of the space.
  ir::Val load(ValueId value, const AxisMap& along, bool force_row) {
    const AxisMap axes = iteration_axes(along);
    ir::Level level = ir::Level::scalar;
    const int outer = program_.rank - program_.row_rank;
    for (int8_t axis : axes) {
      if (axis == kNoAxis) continue;
      const bool row = program_.row_rank == 0 || axis >= outer;
      level = std::max(level, row ? ir::Level::row : ir::Level::outer);
    }
    if (force_row) level = ir::Level::row;
    size_t k = 0;
    for (; k < step_.inputs.size(); ++k)
      if (step_.inputs[k].value == value && step_.inputs[k].axes == axes && program_.inputs[k].level == level) break;
    if (k == step_.inputs.size()) {
      step_.inputs.push_back({value, axes});
      program_.inputs.push_back({g_.dtype(value), level});
    }
    return builder_.input(static_cast<int64_t>(k), program_.inputs[k].dtype, level);
  }

  AxisMap iteration_axes(const AxisMap& space_axes) const {
    AxisMap axes = space_axes;
    for (int8_t& axis : axes)
      if (axis != kNoAxis) axis = position_[static_cast<size_t>(axis)];
    return axes;
  }

  // An output may live where an input of the same shape and width lived, when that is not needed any more.
  void find_donors() {
    step_.donors.resize(step_.outputs.size());
    for (size_t o = 0; o < step_.outputs.size(); ++o) {
      if (program_.outputs[o].level != ir::Level::row) continue;
      std::vector<int>& donors = step_.donors[o];
      for (size_t i = 0; i < step_.inputs.size(); ++i)
        if (may_donate(i, o)) donors.push_back(static_cast<int>(i));
      std::stable_partition(donors.begin(), donors.end(),
                            [&](int i) { return g_.values[step_.inputs[static_cast<size_t>(i)].value].leaf; });
      // Each output has a first choice of its own as far as they go round.
      if (!donors.empty())
        std::rotate(donors.begin(), donors.begin() + static_cast<std::ptrdiff_t>(o % donors.size()), donors.end());
    }
  }

  bool may_donate(size_t input, size_t output) const {
    const auto& from = step_.inputs[input];
    const auto& to = step_.outputs[output];
    const auto a = g_.shape(from.value);
    const auto b = g_.shape(to.value);
    if (size_of(program_.inputs[input].dtype) != size_of(program_.outputs[output].dtype) || from.axes != to.axes ||
        !std::equal(a.begin(), a.end(), b.begin(), b.end()))
      return false;
    // Another load of the same value through other axes would read what was overwritten.
    return std::count_if(step_.inputs.begin(), step_.inputs.end(),
                         [&](const auto& in) { return in.value == from.value; }) == 1;
  }

  const Graph& g_;
  const Regions& r_;
  const Group& group_;
  ir::Builder builder_;
  RegionProgram program_;
  RegionStep step_;
  std::vector<int8_t> position_;
  std::unordered_map<ValueId, ir::Val> values_;
  std::unordered_map<ValueId, std::vector<std::pair<AxisMap, ir::Val>>> again_;
};

}  // namespace

RegionStep lower_group(const Graph& graph, const Regions& regions, const Group& group) {
  return Lowering(graph, regions, group).run();
}

RegionStep lower_constant(const Graph& graph, uint32_t node) {
  RegionStep step;
  const ValueId out = graph.first_value[node];
  ir::Builder builder;
  RegionProgram program;
  program.scalars.push_back(graph.dtype(out));
  program.outputs.push_back({builder.scalar(0, graph.dtype(out)).id, graph.dtype(out), ir::Level::scalar});
  program.code = builder.take();
  step.nodes.push_back(node);
  step.outputs.push_back({out, {}});
  step.constants.push_back(node);
  step.donors.emplace_back();
  step.code = compile_region_for(graph.places[node], std::move(program));
  return step;
}

}  // namespace plait::engine
