// Regions with reductions, many rows at a time: a tile is one position of neighbouring rows, and rows are gone down side by side.
#include <memory>

#include "backends/cpu/run_rows.h"
#include "backends/cpu/scratch.h"

namespace plait::cpu {
namespace {

/// One reduction of `batch` rows on its way, in the tree of tile_kernels.h: lane l of all rows is one tile.
struct ColumnReduction {
  TileFn combine = nullptr;
  int log_width = 0;
  int64_t lane_bytes = 0;
  char* identity = nullptr;  // one vector
  char* lanes = nullptr;
  Pairwise blocks, chunks;
};

class ColumnWorker {
  static constexpr int64_t kAhead = 4;  // positions of the row

 public:
  explicit ColumnWorker(const RowRun& run)
      : run_(run),
        schedule_(run.schedule),
        kernels_(run.region.kernels),
        column_(run.space.split - 1),
        tile_bytes_(run.padded_batch() * 8) {
    const auto slot_count = static_cast<int64_t>(schedule_.slots.size());
    slots_ = scratch_.take<char*>(slot_count);
    registers_ = scratch_.take<char*>(slot_count);
    const int64_t outer_bytes = std::max(kUniformBytes, tile_bytes_) + 64, register_bytes = tile_bytes_ + 64;
    char* const tiles = scratch_.take<char>(schedule_.tiles * register_bytes);
    char* const outers = scratch_.take<char>(schedule_.outers * outer_bytes);
    const int64_t buffer_bytes = run.length * tile_bytes_;
    char* const buffers = scratch_.take<char>(static_cast<int64_t>(schedule_.buffered.size()) * buffer_bytes);
    for (int64_t i = 0; i < slot_count; ++i) {
      const Slot& slot = schedule_.slots[i];
      char* at = nullptr;
      switch (slot.kind) {
        case Slot::Kind::constant:
        case Slot::Kind::scalar: at = run.fixed_slots[i]; break;
        case Slot::Kind::outer: at = outers + slot.index * outer_bytes; break;
        case Slot::Kind::tile: at = tiles + slot.index * register_bytes; break;
        case Slot::Kind::row: at = buffers + slot.index * buffer_bytes; break;
        case Slot::Kind::lanes: break;  // of Layout::row only
      }
      slots_[i] = registers_[i] = at;
    }
    size_t most = 0;
    for (const Phase& phase : schedule_.phases) most = std::max(most, phase.reduces.size());
    reductions_ = scratch_.take<ColumnReduction>(static_cast<int64_t>(most));
    std::uninitialized_default_construct_n(reductions_, most);
    for (size_t k = 0; k < most; ++k) {
      reductions_[k].identity = scratch_.take<char>(kReduceStateBytes);
      reductions_[k].lanes = scratch_.take<char>(kReduceLanes * tile_bytes_);
      if (run.length <= kReduceBlock) continue;
      reductions_[k].blocks.init(scratch_.take<char>(Pairwise::kDepth * tile_bytes_), tile_bytes_);
      reductions_[k].chunks.init(scratch_.take<char>(Pairwise::kDepth * tile_bytes_), tile_bytes_);
    }
  }

  /// Rows [o, o + n) of the outer positions, neighbours along the last outer axis.
  void columns(int64_t o, int64_t n) {
    for (const Phase& phase : schedule_.phases) {
      for (const Phase::Load& load : phase.outer_loads)
        gather_range(kernels_, run_.space, run_.input(load.input), 0, run_.space.split, o, n, slots_[load.slot]);
      run_steps(phase.outer_steps, slots_, n);
      for (const Phase::Store& store : phase.outer_stores)
        scatter_range(kernels_, run_.space, run_.output(store.output), 0, run_.space.split, o, n, slots_[store.slot]);
      if (!phase.row_work()) continue;
      begin(phase, n);
      const int64_t left = run_.space.extent[column_] - o % run_.space.extent[column_];
      const bool may_overread = ((n + kTilePad - 1) & -kTilePad) <= left && !run_.in_place;
      for (int64_t r = 0; r < run_.length; ++r) {
        tile(phase, o, r, n, may_overread);
        accumulate(phase, r, n);
      }
      finish(phase, n);
    }
  }

 private:
  char* at(const View& view, int64_t o, int64_t r) const {
    const Space& space = run_.space;
    return view.data + offset_of(space, view, o, 0, space.split) + offset_of(space, view, r, space.split, space.rank);
  }

  void tile(const Phase& phase, int64_t o, int64_t r, int64_t n, bool may_overread) {
    const bool whole = n % kTilePad == 0;
    if (!schedule_.buffered.empty())
      for (size_t i = 0; i < schedule_.slots.size(); ++i)
        if (schedule_.slots[i].kind == Slot::Kind::row) slots_[i] = registers_[i] + r * tile_bytes_;
    for (const Phase::Load& load : phase.loads) {
      const View& view = run_.input(load.input);
      char* const from = at(view, o, r);
      const int64_t stride = view.stride[column_];
      if (stride == view.width() && (whole || may_overread)) {
        slots_[load.slot] = from;
        // The machine's own prefetch does not follow steps from row to row.
        if (r + kAhead < run_.length) {
          const char* const later = at(view, o, r + kAhead);
          for (int64_t byte = 0; byte < n << view.log_width; byte += 64) __builtin_prefetch(later + byte);
        }
      } else {
        slots_[load.slot] = registers_[load.slot];
        kernels_.gather[view.log_width](registers_[load.slot], from, stride >> view.log_width, n);
      }
    }
    for (const Phase::Store& store : phase.stores) {
      if (store.made_by < 0) continue;
      const View& view = run_.output(store.output);
      const bool direct = whole && view.stride[column_] == view.width() && !run_.read_later(phase, store);
      slots_[store.slot] = direct ? at(view, o, r) : registers_[store.slot];
    }
    run_steps(phase.steps, slots_, n);
    for (const Phase::Store& store : phase.stores) {
      const View& view = run_.output(store.output);
      char* const to = at(view, o, r);
      if (to != slots_[store.slot])
        kernels_.scatter[view.log_width](to, view.stride[column_] >> view.log_width, slots_[store.slot], n);
    }
  }

  void begin(const Phase& phase, int64_t n) {
    for (size_t k = 0; k < phase.reduces.size(); ++k) {
      const Node& node = run_.region.nodes[phase.reduces[k].node];
      ColumnReduction& reduction = reductions_[k];
      reduction.combine = combiner(run_.region, node);
      reduction.log_width = kLogWidth[static_cast<int>(node.dtype)];
      reduction.lane_bytes = run_.padded_batch() << reduction.log_width;
      char lanes[kReduceStateBytes];
      run_.fns(node).begin(lanes);
      kernels_.splat[reduction.log_width](reduction.identity, lanes);
      if (run_.length == 0)
        kernels_.move[reduction.log_width](reduction.lanes, reduction.identity, nullptr, nullptr, 1, n);
      if (run_.length <= kReduceBlock) continue;
      reduction.blocks.set_combine(reduction.combine, n);
      reduction.chunks.set_combine(reduction.combine, n);
    }
  }

  void accumulate(const Phase& phase, int64_t r, int64_t n) {
    const int64_t lane = r % kReduceLanes;
    const bool first = r % kReduceBlock < kReduceLanes, end = r + 1 == run_.length;
    for (size_t k = 0; k < phase.reduces.size(); ++k) {
      ColumnReduction& reduction = reductions_[k];
      char* const to = reduction.lanes + lane * reduction.lane_bytes;
      reduction.combine(to, first ? reduction.identity : to, slots_[phase.reduces[k].in], nullptr, first ? 1 : 0, n);
      if ((r + 1) % kReduceBlock != 0 && !end) continue;
      fold(reduction, std::min(kReduceLanes, r % kReduceBlock + 1), n);
      if (run_.length <= kReduceBlock) continue;
      std::memcpy(reduction.blocks.next(), reduction.lanes, static_cast<size_t>(n) << reduction.log_width);
      reduction.blocks.pushed();
      if ((r + 1) % kReduceChunk != 0 && !end) continue;
      std::memcpy(reduction.chunks.next(), reduction.blocks.result(), static_cast<size_t>(n) << reduction.log_width);
      reduction.chunks.pushed();
      reduction.blocks.clear();
    }
  }

  /// Upper half of the lanes onto the lower half, until one is left. Lanes without an element would add an identity.
  void fold(ColumnReduction& reduction, int64_t lanes, int64_t n) {
    for (int64_t half = kReduceLanes / 2; half > 0; half /= 2) {
      for (int64_t lane = 0; lane + half < lanes; ++lane) {
        char* const to = reduction.lanes + lane * reduction.lane_bytes;
        reduction.combine(to, to, to + half * reduction.lane_bytes, nullptr, 0, n);
      }
      lanes = std::min(lanes, half);
    }
  }

  void finish(const Phase& phase, int64_t n) {
    for (size_t k = 0; k < phase.reduces.size(); ++k) {
      ColumnReduction& reduction = reductions_[k];
      const char* const result = run_.length <= kReduceBlock ? reduction.lanes : reduction.chunks.result();
      std::memcpy(slots_[phase.reduces[k].out], result, static_cast<size_t>(n) << reduction.log_width);
    }
  }

  Scratch scratch_;
  const RowRun& run_;
  const Schedule& schedule_;
  const TileKernels& kernels_;
  const int column_;
  const int64_t tile_bytes_;
  char** slots_ = nullptr;
  char** registers_ = nullptr;
  ColumnReduction* reductions_ = nullptr;
};

}  // namespace

int64_t column_items(const RowRun& run) {
  const int64_t width = run.space.extent[run.space.split - 1];
  return run.rows / width * ((width + run.batch - 1) / run.batch);
}

void run_columns(const RowRun& run, int64_t begin, int64_t end) {
  ColumnWorker worker(run);
  const int64_t width = run.space.extent[run.space.split - 1], blocks = (width + run.batch - 1) / run.batch;
  for (int64_t i = begin; i < end; ++i) {
    const int64_t within = i % blocks * run.batch;
    worker.columns(i / blocks * width + within, std::min(run.batch, width - within));
  }
}

}  // namespace plait::cpu
