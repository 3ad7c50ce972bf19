#include "backends/cuda/regions/space.h"

#include <algorithm>
#include <cstdlib>

namespace plait::cuda {
namespace {

using ir::Level;

const RegionBinding::Operand& bound_operand(const RegionBinding& at, size_t k) {
  return k < at.inputs.size() ? at.inputs[k] : at.outputs[k - at.inputs.size()];
}

Level level_of(const Staged& staged, size_t k) {
  const size_t inputs = staged.program.inputs.size();
  return k < inputs ? staged.program.inputs[k].level : staged.program.outputs[k - inputs].level;
}

/// The operand whose order of axes the space follows: what is written, or the largest that is read.
size_t leading_operand(const Staged& staged) {
  if (!staged.has_row() || !staged.row_outputs.empty())
    return staged.row_outputs.empty() ? 0 : static_cast<size_t>(staged.output_operand(staged.row_outputs.front()));
  for (size_t k = 0; k < staged.program.inputs.size(); ++k)
    if (staged.program.inputs[k].level == Level::row) return k;
  return 0;
}

}  // namespace

Bound bind(const Staged& staged, const RegionBinding& at) {
  const RegionProgram& program = staged.program;
  const size_t count = static_cast<size_t>(staged.operand_count());
  Bound bound;
  bound.operands.resize(count);
  std::vector<Level> levels(count);
  for (size_t k = 0; k < count; ++k) {
    levels[k] = level_of(staged, k);
    bound.operands[k].data = static_cast<char*>(bound_operand(at, k).data);
  }
  const int outer_rank = program.rank - program.row_rank;
  /// Where an operand of a lower level does not vary its strides do not matter, or are missing.
  const auto stride = [&](size_t k, int axis) -> long long {
    const auto& strides = bound_operand(at, k).strides;
    if (levels[k] == Level::scalar || (levels[k] == Level::outer && axis >= outer_rank)) return 0;
    if (static_cast<size_t>(axis) >= strides.size()) return 0;
    return strides[static_cast<size_t>(axis)] * size_of(staged.operand_dtype(static_cast<int>(k)));
  };

  int axes[kMaxRegionRank];
  int axis_count = 0, outer_count = 0;
  long long rows = 1, length = 1;
  for (int axis = 0; axis < program.rank; ++axis) {
    const long long extent = at.extents[static_cast<size_t>(axis)];
    (axis < outer_rank ? rows : length) *= extent;
    if (extent == 1) continue;
    axes[axis_count++] = axis;
    if (axis < outer_rank) outer_count = axis_count;
  }
  if (count > 0) {
    const size_t leader = leading_operand(staged);
    std::stable_sort(axes, axes + outer_count,
                     [&](int a, int b) { return std::llabs(stride(leader, a)) > std::llabs(stride(leader, b)); });
  }

  Space& space = bound.space;
  space.rank = space.split = 0;
  for (int i = 0; i < axis_count; ++i) {
    if (i == outer_count) space.split = space.rank;
    bool join = space.rank > 0 && i != outer_count;
    const long long extent = at.extents[static_cast<size_t>(axes[i])];
    for (size_t k = 0; join && k < count; ++k)
      join = bound.operands[k].stride[space.rank - 1] == stride(k, axes[i]) * extent;
    const int to = join ? space.rank - 1 : space.rank++;
    space.extent[to] = join ? space.extent[to] * extent : extent;
    for (size_t k = 0; k < count; ++k) bound.operands[k].stride[to] = stride(k, axes[i]);
  }
  if (outer_count == axis_count) space.split = space.rank;
  if (!staged.has_row()) {  // the last axis is the row
    space.split = std::max(space.rank - 1, 0);
    length = space.rank > 0 ? space.extent[space.rank - 1] : 1;
    rows = 1;
    for (int axis = 0; axis < space.split; ++axis) rows *= space.extent[axis];
    if (space.rank == 0) rows = 1;
  }
  space.rows = rows;
  space.length = length;
  return bound;
}

bool is_linear(const Staged& staged, const Bound& bound, int lanes) {
  if (bound.space.rank > 1) return false;
  const size_t inputs = staged.program.inputs.size();
  for (size_t k = 0; k < bound.operands.size(); ++k) {
    if (k < inputs && staged.program.inputs[k].level == Level::scalar) continue;
    const int width = size_of(staged.operand_dtype(static_cast<int>(k)));
    if (bound.space.rank == 1 && bound.operands[k].stride[0] != width) return false;
    if (reinterpret_cast<uintptr_t>(bound.operands[k].data) % static_cast<uintptr_t>(std::min(16, width * lanes)) != 0)
      return false;
  }
  return true;
}

bool is_even(const Staged& staged, const Bound& bound, int lanes) {
  const Space& space = bound.space;
  if (space.length % lanes != 0 || space.rank != space.split + 1) return false;
  for (size_t k = 0; k < bound.operands.size(); ++k) {
    if (level_of(staged, k) != Level::row) continue;
    const int width = size_of(staged.operand_dtype(static_cast<int>(k))), align = std::min(16, width * lanes);
    if (bound.operands[k].stride[space.split] != width) return false;
    if (reinterpret_cast<uintptr_t>(bound.operands[k].data) % static_cast<uintptr_t>(align) != 0) return false;
    for (int axis = 0; axis < space.split; ++axis)
      if (bound.operands[k].stride[axis] % align != 0) return false;
  }
  return true;
}

bool is_across(const Staged& staged, const Bound& bound) {
  const Space& space = bound.space;
  if (space.split == 0 || space.rank != space.split + 1) return false;
  for (size_t k = 0; k < bound.operands.size(); ++k) {
    if (level_of(staged, k) == Level::scalar) continue;
    const long long along = std::llabs(bound.operands[k].stride[space.rank - 1]);
    const long long across = std::llabs(bound.operands[k].stride[space.split - 1]);
    if (across != 0 && across < along) return true;
  }
  return false;
}

bool is_columns(const Staged& staged, const Bound& bound) {
  const Space& space = bound.space;
  if (space.split == 0 || space.rank == space.split) return false;
  long long votes = 0;
  for (size_t k = 0; k < bound.operands.size(); ++k) {
    if (level_of(staged, k) != Level::row) continue;
    long long along = 0;  // the shortest step within a row
    for (int axis = space.split; axis < space.rank; ++axis) {
      const long long step = std::llabs(bound.operands[k].stride[axis]);
      if (step != 0 && (along == 0 || step < along)) along = step;
    }
    const long long across = std::llabs(bound.operands[k].stride[space.split - 1]);
    if (along == 0 && across == 0) continue;
    votes += across != 0 && (along == 0 || across < along) ? 1 : along != 0 && (across == 0 || along < across) ? -1 : 0;
  }
  return votes > 0;
}

}  // namespace plait::cuda
