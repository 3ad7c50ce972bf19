// What row-wise and column-wise runs of regions with reductions share.
#pragma once

#include "backends/cpu/operands.h"

namespace plait::cpu {

inline constexpr int64_t kRowBufferBytes = 512 << 10;
inline constexpr int64_t kReduceChunk = 64 * kReduceBlock;  // rows longer than this are combined chunk by chunk

/// The kernel that joins partial results of a reduction.
inline TileFn combiner(const CpuRegion& region, const Node& node) {
  constexpr ir::Op ops[kReductions] = {ir::Op::add, ir::Op::mul, ir::Op::max, ir::Op::min};
  return region.kernels
      .compute[static_cast<int>(ops[reduction_index(static_cast<ir::Op>(node.index))])][static_cast<int>(node.dtype)];
}

/// Combines values pairwise as they come, like the carries of a counter: the tree depends on their number only.
class Pairwise {
 public:
  static constexpr int kDepth = 44;
  void init(char* memory, int64_t bytes) { memory_ = memory, bytes_ = bytes; }
  void set_combine(TileFn combine, int64_t n) {
    combine_ = combine, n_ = n;
    clear();
  }
  void clear() { depth_ = 0, count_ = 0; }
  /// Where the next value goes, then that it is there.
  char* next() const { return memory_ + depth_ * bytes_; }
  void pushed() {
    ++depth_, ++count_;
    for (int64_t carry = count_; (carry & 1) == 0; carry >>= 1) join();
  }
  const char* result() {
    while (depth_ > 1) join();
    return memory_;
  }

 private:
  void join() {
    char* const a = memory_ + (depth_ - 2) * bytes_;
    combine_(a, a, a + bytes_, nullptr, 0, n_);
    --depth_;
  }
  char* memory_ = nullptr;
  int64_t bytes_ = 0;
  TileFn combine_ = nullptr;
  int64_t n_ = 1;
  int depth_ = 0;
  int64_t count_ = 0;
};

/// One run of a region over its rows.
struct RowRun {
  const CpuRegion& region;
  const Schedule& schedule;
  Space space;
  View* views;
  char* const* fixed_slots;
  int64_t rows = 1;    // outer positions
  int64_t length = 1;  // of a row
  int64_t tile = kTile;
  int64_t batch = 1;   // rows of a tile, at most
  bool in_place = false;
  bool streaming = false;    // through a Background
  bool past_caches = false;  // by the assembled steps themselves

  int64_t padded_batch() const { return (batch + kTilePad - 1) & -kTilePad; }
  const View& input(int k) const { return views[k]; }
  const View& output(int k) const { return views[region.program.inputs.size() + k]; }
  const ReduceFns& fns(const Node& node) const {
    return region.kernels.reduce[reduction_index(static_cast<ir::Op>(node.index))][static_cast<int>(node.dtype)];
  }

  char* direct(const View& view, int64_t start, int64_t n) const {
    if (view.linear) return view.data + (start << view.log_width);
    const int last = space.rank - 1;
    if (last < 0 || view.stride[last] != view.width()) return nullptr;
    if (start % space.extent[last] + n > space.extent[last]) return nullptr;
    return view.data + offset_of(space, view, start, 0, space.rank);
  }

  /// Whether the output is the memory of an input that is still read once the output is there.
  bool read_later(const Phase& phase, const Phase::Store& store) const {
    if (!in_place) return false;
    for (const Phase::Load& load : phase.loads)
      if (input(load.input).data == output(store.output).data && load.last_use > store.made_by) return true;
    return false;
  }
};

/// Layout::columns: item `i` is `batch` neighbouring rows, column_items() of them in all.
int64_t column_items(const RowRun& run);
void run_columns(const RowRun& run, int64_t begin, int64_t end);

}  // namespace plait::cpu
