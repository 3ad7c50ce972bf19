// One run of a region without reductions.
#pragma once

#include "backends/cpu/background.h"
#include "backends/cpu/operands.h"

namespace plait::cpu {

struct ElementwiseRun {
  const CpuRegion& region;
  const Schedule& schedule;
  const Phase& phase;
  Space space;
  View* views;
  char* const* fixed_slots;   // constants and scalars
  int64_t count = 1;
  int64_t tile = kTile;
  int64_t tiles_in_row = 0;   // 0: tiles follow one another through the whole space
  bool in_place = false;
  bool streaming = false;     // through a Background
  bool past_caches = false;   // by the assembled steps themselves

  const View& input(int k) const { return views[k]; }
  const View& output(int k) const { return views[region.program.inputs.size() + k]; }

  /// Elements of tile t: tiles do not cross rows when rows are long.
  void range(int64_t t, int64_t& start, int64_t& n) const {
    if (tiles_in_row == 0) {
      start = t * tile;
      n = std::min(tile, count - start);
    } else {
      const int64_t length = space.extent[space.rank - 1], within = t % tiles_in_row * tile;
      start = t / tiles_in_row * length + within;
      n = std::min(tile, length - within);
    }
  }

  /// Where the elements are in memory, if they are one after the other.
  char* direct(const View& view, int64_t start, int64_t n) const {
    if (view.linear) return view.data + (start << view.log_width);
    const int last = space.rank - 1;
    if (view.stride[last] != view.width()) return nullptr;
    if (start % space.extent[last] + n > space.extent[last]) return nullptr;
    return view.data + offset_of(space, view, start, 0, space.rank);
  }

  void run_tiles(int64_t begin, int64_t end) const;
  void run_tile(char** slots, char* const* registers, Background& background, int64_t start, int64_t n) const;

  /// Whether the output is the memory of an input that is still read once the output is there.
  bool read_later(const Phase::Store& store) const {
    if (!in_place) return false;
    for (const Phase::Load& load : phase.loads)
      if (input(load.input).data == output(store.output).data && load.last_use > store.made_by) return true;
    return false;
  }
};

/// The axis along which some operand is contiguous while it is not along the last one, or -1: then blocks of both axes are gone
/// through, so that each cache line is fetched once.
int block_axis(const ElementwiseRun& run);
int64_t block_count(const ElementwiseRun& run, int axis);
void run_blocks(const ElementwiseRun& run, int axis, int64_t begin, int64_t end);

}  // namespace plait::cpu
