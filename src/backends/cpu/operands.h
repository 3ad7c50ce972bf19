// Operands of a run: where the elements of a tile are.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstring>

#include "backends/cpu/interpreter.h"
#include "backends/cpu/jit/assemble.h"

namespace plait::cpu {

/// The iteration space with neighbouring axes joined where every operand allows it. Axes from `split` on are the row.
struct Space {
  int rank = 0;
  int split = 0;
  int64_t extent[kMaxRegionRank];
};

/// One operand. Strides count bytes; they belong to the axes of the Space.
struct View {
  char* data = nullptr;
  int log_width = 0;
  bool linear = false;  // its elements lie in the order of the space
  int64_t stride[kMaxRegionRank];

  int64_t width() const { return int64_t{1} << log_width; }
};

/// Joins axes of `binding` and fills `views` (inputs, then outputs). With `sort`, axes are first put in the order of the first
/// output's strides: for programs whose elements do not depend on each other. `views[i].data` null: not given for every axis.
Space make_space(const RegionProgram& program, const RegionBinding& binding, bool sort, View* views);

/// The byte offset of element `index` in the order of axes [from, to).
inline int64_t offset_of(const Space& space, const View& view, int64_t index, int from, int to) {
  int64_t sum = 0;
  for (int axis = to - 1; axis > from; --axis) {
    sum += index % space.extent[axis] * view.stride[axis];
    index /= space.extent[axis];
  }
  return to > from ? sum + index * view.stride[from] : 0;
}

/// Copies elements [start, start + n) in the order of axes [from, to) into or out of a tile.
void gather_range(const TileKernels& kernels, const Space& space, const View& view, int from, int to, int64_t start,
                  int64_t n, char* tile);
void scatter_range(const TileKernels& kernels, const Space& space, const View& view, int from, int to, int64_t start,
                   int64_t n, const char* tile);

/// Slots of constants, and of scalars, which are computed here.
void run_scalars(const CpuRegion& region, const Schedule& schedule, const RegionBinding& binding, char* scalar_memory,
                 char** slots);

inline void run_step(const Step& s, char* const* slots, int64_t n) {
  if (s.code)
    s.code->run(slots, n);
  else if (s.chain)
    s.chain(s.ops, s.b, slots, n);
  else
    s.fn(slots[s.out], slots[s.a], slots[s.b], slots[s.c], s.uniform, n);
}
inline void run_steps(const std::vector<Step>& steps, char* const* slots, int64_t n) {
  for (const Step& s : steps) run_step(s, slots, n);
}
/// Of schedules that stream.
inline void run_steps_streaming(const std::vector<Step>& steps, char* const* slots, char* const* ahead, int64_t n) {
  for (const Step& s : steps) {
    if (s.code)
      s.code->run_streaming(slots, ahead, n);
    else
      run_step(s, slots, n);
  }
}
inline bool is_aligned(const void* p) { return reinterpret_cast<uintptr_t>(p) % 64 == 0; }

inline constexpr int64_t kInlineWork = 32768;  // elements times steps that are not worth a second thread

}  // namespace plait::cpu
