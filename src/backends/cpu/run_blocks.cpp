// Elementwise regions whose operands run along different axes: transposed copies and what is fused with them.
#include <cstring>

#include "backends/cpu/run_elementwise.h"

namespace plait::cpu {
namespace {

// A block of a program is one tile; a block of a copy may be larger.
constexpr int64_t kRows = 16, kCopyRows = 64, kColumns = 64;
static_assert(kRows * kColumns == kTile);

bool is_copy(const ElementwiseRun& run) {
  const Phase& phase = run.phase;
  if (phase.loads.size() != 1 || phase.stores.size() != 1 || phase.steps.size() != 1) return false;
  const View& from = run.input(phase.loads[0].input);
  return phase.steps[0].fn == run.region.kernels.move[from.log_width];
}

struct Block {
  int axis, last;
  int64_t row, rows, column, columns;  // along `axis` and along the last axis
  int64_t index[kMaxRegionRank];       // along the other axes

  char* start(const View& view, const Space& space) const {
    char* at = view.data + row * view.stride[axis] + column * view.stride[last];
    for (int k = 0; k < space.rank; ++k)
      if (k != axis && k != last) at += index[k] * view.stride[k];
    return at;
  }
};

class BlockWorker {
 public:
  BlockWorker(const ElementwiseRun& run, int axis)
      : run_(run), kernels_(run.region.kernels), axis_(axis), last_(run.space.rank - 1) {
    const auto slot_count = static_cast<int64_t>(run.schedule.slots.size());
    slots_ = scratch_.take<char*>(slot_count);
    const int64_t register_bytes = (kTile << run.schedule.log_width) + 64;
    char* const memory = scratch_.take<char>(run.schedule.tiles * register_bytes);
    for (int64_t i = 0; i < slot_count; ++i) {
      const Slot& slot = run.schedule.slots[i];
      slots_[i] = slot.kind == Slot::Kind::tile ? memory + slot.index * register_bytes : run.fixed_slots[i];
    }
    copy_ = is_copy(run);
    lines_ = scratch_.take<char>(kCopyRows * kColumns * 8);
    if (copy_ && run.streaming) copy_tile_ = scratch_.take<char>(kCopyRows * kColumns * 8);
    rows_ = copy_ ? kCopyRows : kRows;
  }

  void block(int64_t i) {
    const Space& space = run_.space;
    const int64_t row_blocks = (space.extent[axis_] + rows_ - 1) / rows_,
                  column_blocks = (space.extent[last_] + kColumns - 1) / kColumns;
    Block b{.axis = axis_,
            .last = last_,
            .row = i % row_blocks * rows_,
            .rows = 0,
            .column = i / row_blocks % column_blocks * kColumns,
            .columns = 0,
            .index = {}};
    b.rows = std::min(rows_, space.extent[axis_] - b.row);
    b.columns = std::min(kColumns, space.extent[last_] - b.column);
    int64_t rest = i / row_blocks / column_blocks;
    for (int k = space.rank; k-- > 0;) {
      if (k == axis_ || k == last_) continue;
      b.index[k] = rest % space.extent[k];
      rest /= space.extent[k];
    }
    if (copy_)
      copy(b);
    else
      compute(b);
  }

 private:
  void copy(const Block& b) {
    const View& from = run_.input(run_.phase.loads[0].input);
    const View& to = run_.output(run_.phase.stores[0].output);
    char* const out = b.start(to, run_.space);
    const int log_width = from.log_width;
    const bool rows_out = to.stride[last_] == to.width() && from.stride[axis_] == from.width();
    if (rows_out && !run_.streaming) {
      kernels_.transpose[log_width](out, to.stride[axis_] >> log_width, b.start(from, run_.space),
                                    from.stride[last_] >> log_width, b.rows, b.columns);
    } else if (rows_out) {
      load(b, from, copy_tile_);
      store(b, to, copy_tile_);
    } else {
      for (int64_t r = 0; r < b.rows; ++r) {  // some other pair of strides
        Block row = b;
        row.row += r;
        row.rows = 1;
        kernels_.gather[log_width](slots_[run_.phase.loads[0].slot], row.start(from, run_.space),
                                   from.stride[last_] >> log_width, b.columns);
        kernels_.scatter[log_width](row.start(to, run_.space), to.stride[last_] >> log_width,
                                    slots_[run_.phase.loads[0].slot], b.columns);
      }
    }
  }

  void compute(const Block& b) {
    for (const Phase::Load& l : run_.phase.loads) load(b, run_.input(l.input), slots_[l.slot]);
    run_steps(run_.phase.steps, slots_, b.rows * b.columns);
    for (const Phase::Store& s : run_.phase.stores) store(b, run_.output(s.output), slots_[s.slot]);
  }

  void load(const Block& b, const View& view, char* tile) const {
    const char* const at = b.start(view, run_.space);
    const int64_t along = view.stride[last_] >> view.log_width;
    if (view.stride[axis_] == view.width() && along != 1) {
      // Lines are read as a whole: those a power of two apart share few places of a cache.
      const int64_t bytes = b.rows * view.width();
      for (int64_t c = 0; c < b.columns; ++c)
        std::memcpy(lines_ + c * bytes, at + c * view.stride[last_], static_cast<size_t>(bytes));
      kernels_.transpose[view.log_width](tile, b.columns, lines_, b.rows, b.rows, b.columns);
      return;
    }
    for (int64_t r = 0; r < b.rows; ++r)
      kernels_.gather[view.log_width](tile + (r * b.columns << view.log_width), at + r * view.stride[axis_], along,
                                      b.columns);
  }

  void store(const Block& b, const View& view, const char* tile) const {
    char* const at = b.start(view, run_.space);
    const int64_t along = view.stride[last_] >> view.log_width;
    if (view.stride[axis_] == view.width() && along != 1) {
      kernels_.transpose[view.log_width](at, along, tile, b.columns, b.columns, b.rows);
      return;
    }
    for (int64_t r = 0; r < b.rows; ++r) {
      char* const to = at + r * view.stride[axis_];
      const char* const row = tile + (r * b.columns << view.log_width);
      if (run_.streaming && along == 1)
        kernels_.stream(to, row, b.columns << view.log_width);
      else
        kernels_.scatter[view.log_width](to, along, row, b.columns);
    }
  }

  Scratch scratch_;
  const ElementwiseRun& run_;
  const TileKernels& kernels_;
  const int axis_, last_;
  char** slots_ = nullptr;
  char *lines_ = nullptr, *copy_tile_ = nullptr;
  bool copy_ = false;
  int64_t rows_ = kRows;
};

}  // namespace

int block_axis(const ElementwiseRun& run) {
  constexpr int64_t kLeast = 8;
  const int last = run.space.rank - 1;
  if (last < 1 || run.space.extent[last] < kLeast) return -1;
  const auto axis_of = [&](const View& view) {
    if (view.stride[last] == 0 || view.stride[last] == view.width() || view.stride[last] == -view.width()) return -1;
    for (int axis = last; axis-- > 0;)
      if (view.stride[axis] == view.width() && run.space.extent[axis] >= kLeast) return axis;
    return -1;
  };
  for (const Phase::Load& load : run.phase.loads)
    if (const int axis = axis_of(run.input(load.input)); axis >= 0) return axis;
  for (const Phase::Store& store : run.phase.stores)
    if (const int axis = axis_of(run.output(store.output)); axis >= 0) return axis;
  return -1;
}

int64_t block_count(const ElementwiseRun& run, int axis) {
  const Space& space = run.space;
  const int last = space.rank - 1;
  const int64_t rows = is_copy(run) ? kCopyRows : kRows;
  return run.count / space.extent[axis] / space.extent[last] * ((space.extent[axis] + rows - 1) / rows) *
         ((space.extent[last] + kColumns - 1) / kColumns);
}

void run_blocks(const ElementwiseRun& run, int axis, int64_t begin, int64_t end) {
  BlockWorker worker(run, axis);
  for (int64_t i = begin; i < end; ++i) worker.block(i);
  if (run.streaming) run.region.kernels.fence();
}

}  // namespace plait::cpu
