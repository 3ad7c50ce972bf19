#include "backends/cpu/operands.h"

namespace plait::cpu {
namespace {

using ir::Level;

/// Axes of the binding by the first output's strides, longest first; axes of extent 1 left out.
int ordered_axes(const RegionProgram& program, const RegionBinding& at, bool sort, int* axes) {
  int count = 0;
  for (int axis = 0; axis < program.rank; ++axis)
    if (at.extents[axis] != 1) axes[count++] = axis;
  if (sort && count > 1 && !at.outputs.empty()) {
    const auto& strides = at.outputs[0].strides;
    const auto longer = [&](int a, int b) { return std::abs(strides[a]) > std::abs(strides[b]); };
    if (!std::is_sorted(axes, axes + count, longer)) std::stable_sort(axes, axes + count, longer);
  }
  return count;
}

template <class Move>
void each_run(const Space& space, const View& view, int from, int to, int64_t start, int64_t n, Move move) {
  if (to <= from) {
    move(view.data, int64_t{0}, n);
    return;
  }
  const int last = to - 1;
  int64_t index[kMaxRegionRank];
  int64_t rest = start;
  char* at = view.data;
  for (int axis = last; axis > from; --axis) {
    index[axis] = rest % space.extent[axis];
    rest /= space.extent[axis];
    at += index[axis] * view.stride[axis];
  }
  index[from] = rest;
  at += rest * view.stride[from];
  while (n > 0) {
    const int64_t run = std::min(n, space.extent[last] - index[last]);
    move(at, view.stride[last], run);
    n -= run;
    if (n == 0) return;
    at += run * view.stride[last];
    index[last] += run;
    for (int axis = last; axis > from && index[axis] == space.extent[axis]; --axis) {
      at += view.stride[axis - 1] - index[axis] * view.stride[axis];
      index[axis] = 0;
      ++index[axis - 1];
    }
  }
}

}  // namespace

Space make_space(const RegionProgram& program, const RegionBinding& at, bool sort, View* views) {
  const int inputs = static_cast<int>(program.inputs.size());
  const int count = inputs + static_cast<int>(program.outputs.size());
  const auto operand = [&](int k) -> const RegionBinding::Operand& {
    return k < inputs ? at.inputs[k] : at.outputs[k - inputs];
  };
  for (int k = 0; k < count; ++k) {
    const DType dtype = k < inputs ? program.inputs[k].dtype : program.outputs[k - inputs].dtype;
    views[k].data = static_cast<char*>(operand(k).data);
    views[k].log_width = kLogWidth[static_cast<int>(dtype)];
  }

  Space space;
  int axes[kMaxRegionRank];
  const int axis_count = ordered_axes(program, at, sort, axes);
  const int outer_rank = program.rank - program.row_rank;
  bool in_row = program.row_rank == 0;  // then there is one group of axes
  for (int i = 0; i < axis_count; ++i) {
    const int axis = axes[i];
    const int64_t extent = at.extents[axis];
    bool join = space.rank > 0;
    if (!in_row && axis >= outer_rank) {
      in_row = true;
      space.split = space.rank;
      join = false;
    }
    // An operand of a lower level has no strides that matter where it does not vary: they are 0, or missing for scalars.
    const auto stride = [&](int k) {
      const auto& strides = operand(k).strides;
      return strides.empty() ? 0 : strides[axis] << views[k].log_width;
    };
    for (int k = 0; join && k < count; ++k) join = views[k].stride[space.rank - 1] == stride(k) * extent;
    const int to = join ? space.rank - 1 : space.rank++;
    space.extent[to] = join ? space.extent[to] * extent : extent;
    for (int k = 0; k < count; ++k) views[k].stride[to] = stride(k);
  }
  if (!in_row) space.split = space.rank;
  for (int k = 0; k < count; ++k) {
    int64_t step = views[k].width();
    views[k].linear = true;
    for (int axis = space.rank; axis-- > 0; step *= space.extent[axis])
      views[k].linear &= views[k].stride[axis] == step;
  }
  return space;
}

void gather_range(const TileKernels& kernels, const Space& space, const View& view, int from, int to, int64_t start,
                  int64_t n, char* tile) {
  const auto move = kernels.gather[view.log_width];
  each_run(space, view, from, to, start, n, [&](const char* at, int64_t stride, int64_t run) {
    move(tile, at, stride >> view.log_width, run);
    tile += run << view.log_width;
  });
}

void scatter_range(const TileKernels& kernels, const Space& space, const View& view, int from, int to, int64_t start,
                   int64_t n, const char* tile) {
  const auto move = kernels.scatter[view.log_width];
  each_run(space, view, from, to, start, n, [&](char* at, int64_t stride, int64_t run) {
    move(at, stride >> view.log_width, tile, run);
    tile += run << view.log_width;
  });
}

void run_scalars(const CpuRegion& region, const Schedule& schedule, const RegionBinding& binding, char* scalar_memory,
                 char** slots) {
  size_t slot = 0;  // fixed slots come first, in the order of the nodes
  for (const Node& node : region.nodes) {
    if (node.level != Level::scalar) continue;
    while (schedule.slots[slot].kind == Slot::Kind::outer) ++slot;
    const Slot& at = schedule.slots[slot];
    if (node.kind == Node::Kind::constant) {
      slots[slot] = const_cast<char*>(region.constant_at(at.index));
    } else {
      slots[slot] = scalar_memory + at.index * kUniformBytes;
      const void* element = node.kind == Node::Kind::scalar
                                ? static_cast<const void*>(&binding.scalars[node.index].bits)
                            : node.kind == Node::Kind::load ? binding.inputs[node.index].data
                                                            : nullptr;
      if (element) region.kernels.splat[at.log_width](slots[slot], static_cast<const char*>(element));
    }
    ++slot;
  }
  run_steps(schedule.scalar_steps, slots, 1);
}

}  // namespace plait::cpu
