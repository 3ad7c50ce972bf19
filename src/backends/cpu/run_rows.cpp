// Regions with reductions: passes over rows.
#include "backends/cpu/run_rows.h"

#include <memory>

#include "backends/cpu/background.h"
#include "base/parallel.h"

namespace plait::cpu {
namespace {

using ir::Level;
using ir::Op;

constexpr int64_t kWidest = 256;             // rows side by side in Layout::columns
constexpr int64_t kLongestStreamed = 16384;  // a row's results wait in the cache while the next row is worked on

/// One reduction over one row on its way.
struct RowReduction {
  const ReduceFns* fns = nullptr;
  char* lanes = nullptr;
  Pairwise blocks, chunks;
};

/// What one thread needs to go over rows.
class RowWorker {
 public:
  explicit RowWorker(const RowRun& run)
      : run_(run),
        schedule_(run.schedule),
        kernels_(run.region.kernels),
        background_(scratch_, run.region, run.schedule, run.views, run.streaming ? run.length * run.batch : 0) {
    const auto slot_count = static_cast<int64_t>(schedule_.slots.size());
    slots_ = scratch_.take<char*>(slot_count);
    registers_ = scratch_.take<char*>(slot_count);
    ahead_ = scratch_.take<char*>(slot_count);
    size_t most = 0;
    for (const Phase& phase : schedule_.phases) most = std::max(most, phase.reduces.size());
    reductions_ = scratch_.take<RowReduction>(static_cast<int64_t>(most));
    std::uninitialized_default_construct_n(reductions_, most);
    for (size_t k = 0; k < most; ++k) reductions_[k].lanes = scratch_.take<char>(kReduceStateBytes);
    const int64_t register_bytes = (run.tile << schedule_.log_width) + 64;
    char* const tiles = scratch_.take<char>(schedule_.tiles * register_bytes);
    const int64_t outer_bytes = std::max(kUniformBytes, run.padded_batch() * 8);
    char* const outers = scratch_.take<char>(schedule_.outers * outer_bytes);
    const int64_t row_elements = (run.length * run.batch + kTilePad - 1) & -kTilePad;
    char* const buffers = scratch_.take<char>(static_cast<int64_t>(schedule_.buffered.size()) * row_elements * 8);
    for (int64_t i = 0; i < slot_count; ++i) {
      const Slot& slot = schedule_.slots[i];
      char* at = nullptr;
      switch (slot.kind) {
        case Slot::Kind::constant:
        case Slot::Kind::scalar: at = run.fixed_slots[i]; break;
        case Slot::Kind::outer: at = outers + slot.index * outer_bytes; break;
        case Slot::Kind::tile: at = tiles + slot.index * register_bytes; break;
        case Slot::Kind::row: at = buffers + slot.index * row_elements * 8; break;
        case Slot::Kind::lanes: at = reductions_[slot.index].lanes; break;
      }
      slots_[i] = registers_[i] = ahead_[i] = at;
    }
    for (size_t k = 0; k < most; ++k) {
      if (run.length <= kReduceBlock) continue;
      reductions_[k].blocks.init(scratch_.take<char>(Pairwise::kDepth * kUniformBytes), kUniformBytes);
      reductions_[k].chunks.init(scratch_.take<char>(Pairwise::kDepth * kUniformBytes), kUniformBytes);
    }
  }

  void finish_writes() {
    background_.finish();
    if (run_.past_caches) kernels_.fence();
  }

  /// Layout::row
  void row(int64_t o) {
    if (run_.streaming) background_.begin_unit(o * run_.length, run_.length);
    for (const Phase& phase : schedule_.phases) {
      begin_phase(phase, o);
      if (!phase.row_work()) continue;
      begin(phase);
      for (int64_t r = 0; r < run_.length; r += run_.tile) {
        const int64_t n = std::min(run_.tile, run_.length - r);
        tile(phase, o * run_.length + r, r, n);
        accumulate(phase, r, n, run_.length);
      }
      finish(phase);
    }
  }

  // Long rows, cut into chunks that several threads work on. Each phase begins with what the whole row needs.

  void begin_phase(const Phase& phase, int64_t o) {
    load_outer(phase, o);
    run_steps(phase.outer_steps, slots_, 1);
    store_outer(phase, o, 1);
  }
  /// Another worker's outer values.
  void copy_outer(const RowWorker& from) {
    for (size_t i = 0; i < schedule_.slots.size(); ++i)
      if (schedule_.slots[i].kind == Slot::Kind::outer) slots_[i] = from.slots_[i];
  }
  /// Elements [r, end), one chunk; one element of 8 bytes for each reduction.
  void chunk(const Phase& phase, int64_t o, int64_t begin_at, int64_t end, char* results) {
    begin(phase);
    for (int64_t r = begin_at; r < end; r += run_.tile) {
      const int64_t n = std::min(run_.tile, end - r);
      tile(phase, o * run_.length + r, r, n);
      accumulate(phase, r, n, run_.length);
    }
    for (size_t k = 0; k < phase.reduces.size(); ++k) std::memcpy(results + 8 * k, reductions_[k].chunks.result(), 8);
  }
  void join_chunks(const Phase& phase, const char* results, int64_t chunks) {
    begin(phase);
    for (size_t k = 0; k < phase.reduces.size(); ++k) {
      for (int64_t c = 0; c < chunks; ++c) {
        std::memcpy(reductions_[k].chunks.next(),
                    results + (c * static_cast<int64_t>(phase.reduces.size()) + static_cast<int64_t>(k)) * 8, 8);
        reductions_[k].chunks.pushed();
      }
    }
    finish(phase);
  }

  /// Layout::batch: rows [o, o + count)
  void batch(int64_t o, int64_t count) {
    if (run_.streaming) background_.begin_unit(o * run_.length, count * run_.length);
    for (const Phase& phase : schedule_.phases) {
      for (const Phase::Load& load : phase.outer_loads) {
        const View& view = run_.input(load.input);
        gather_range(kernels_, run_.space, view, 0, run_.space.split, o, count, slots_[load.slot]);
      }
      run_steps(phase.outer_steps, slots_, count);
      store_outer(phase, o, count);
      if (!phase.row_work()) continue;
      for (const Phase::Expand& e : phase.expands)
        kernels_.expand[e.log_width](registers_[e.to], slots_[e.from], count, run_.length);
      if (run_.length > 0) tile(phase, o * run_.length, 0, count * run_.length);
      for (const Phase::Reduce& reduce : phase.reduces)
        run_.fns(run_.region.nodes[reduce.node]).segments(slots_[reduce.out], slots_[reduce.in], count, run_.length);
    }
  }

 private:
  void load_outer(const Phase& phase, int64_t o) {
    for (const Phase::Load& load : phase.outer_loads) {
      const View& view = run_.input(load.input);
      kernels_.splat[view.log_width](slots_[load.slot],
                                     view.data + offset_of(run_.space, view, o, 0, run_.space.split));
    }
  }
  void store_outer(const Phase& phase, int64_t o, int64_t count) {
    for (const Phase::Store& store : phase.outer_stores)
      scatter_range(kernels_, run_.space, run_.output(store.output), 0, run_.space.split, o, count, slots_[store.slot]);
  }

  void tile(const Phase& phase, int64_t start, int64_t r, int64_t n) {
    const bool whole = n % kTilePad == 0;
    const bool may_overread = !run_.in_place && start + ((n + kTilePad - 1) & -kTilePad) <= run_.rows * run_.length;
    if (!schedule_.buffered.empty())
      for (size_t i = 0; i < schedule_.slots.size(); ++i)
        if (schedule_.slots[i].kind == Slot::Kind::row) slots_[i] = registers_[i] + (r << schedule_.slots[i].log_width);
    for (const Phase::Load& load : phase.loads) {
      const View& view = run_.input(load.input);
      char* const at = run_.direct(view, start, n);
      if (at && (whole || (may_overread && view.linear))) {
        slots_[load.slot] = at;
        // The next row, when this one is not needed any more.
        ahead_[load.slot] = load.last_pass && view.linear ? at + (run_.length << view.log_width) : at;
        continue;
      }
      slots_[load.slot] = registers_[load.slot];
      if (at)
        std::memcpy(registers_[load.slot], at, static_cast<size_t>(n) << view.log_width);
      else
        gather_range(kernels_, run_.space, view, 0, run_.space.rank, start, n, registers_[load.slot]);
    }
    bool may_pass = run_.past_caches && whole;
    for (const Phase::Store& store : phase.stores) {
      if (store.made_by < 0) continue;
      char* const at = whole ? run_.direct(run_.output(store.output), start, n) : nullptr;
      slots_[store.slot] = at && !run_.read_later(phase, store) ? at : registers_[store.slot];
      if (run_.streaming) slots_[store.slot] = background_.tile_of(store.output, r);
      may_pass &= at == slots_[store.slot] && is_aligned(at);
    }
    if (run_.streaming)
      background_.run(phase.steps, slots_, n);
    else if (may_pass)
      run_steps_streaming(phase.steps, slots_, ahead_, n);
    else
      run_steps(phase.steps, slots_, n);
    for (const Phase::Store& store : phase.stores) {
      const View& view = run_.output(store.output);
      char* const at = run_.direct(view, start, n);
      if (at && at == slots_[store.slot]) continue;
      if (at && run_.streaming && store.made_by >= 0)
        background_.write(at, slots_[store.slot], n << view.log_width);
      else if (at)
        std::memcpy(at, slots_[store.slot], static_cast<size_t>(n) << view.log_width);
      else
        scatter_range(kernels_, run_.space, view, 0, run_.space.rank, start, n, slots_[store.slot]);
    }
  }

  void begin(const Phase& phase) {
    for (size_t k = 0; k < phase.reduces.size(); ++k) {
      const Node& node = run_.region.nodes[phase.reduces[k].node];
      RowReduction& reduction = reductions_[k];
      reduction.fns = &run_.fns(node);
      reduction.fns->begin(reduction.lanes);
      if (run_.length > kReduceBlock) {
        reduction.blocks.set_combine(combiner(run_.region, node), 1);
        reduction.chunks.set_combine(combiner(run_.region, node), 1);
      }
    }
  }

  /// After elements [r, r + n) of `length`.
  void accumulate(const Phase& phase, int64_t r, int64_t n, int64_t length) {
    for (size_t k = 0; k < phase.reduces.size(); ++k) {
      RowReduction& reduction = reductions_[k];
      if (run_.streaming) background_.work(n);
      if (!phase.reduces[k].fused) reduction.fns->accumulate(reduction.lanes, slots_[phase.reduces[k].in], n);
      if (length <= kReduceBlock) continue;
      const int64_t end = r + n;
      if (end % kReduceBlock != 0 && end != length) continue;
      reduction.fns->finish(reduction.blocks.next(), reduction.lanes);
      reduction.blocks.pushed();
      reduction.fns->begin(reduction.lanes);
      if (end % kReduceChunk != 0 && end != length) continue;
      std::memcpy(reduction.chunks.next(), reduction.blocks.result(), 8);
      reduction.chunks.pushed();
      reduction.blocks.clear();
    }
  }

  void finish(const Phase& phase) {
    for (size_t k = 0; k < phase.reduces.size(); ++k) {
      RowReduction& reduction = reductions_[k];
      char result[8];
      if (run_.length <= kReduceBlock)
        reduction.fns->finish(result, reduction.lanes);
      else
        std::memcpy(result, reduction.chunks.result(), 8);
      const int out = phase.reduces[k].out;
      kernels_.splat[schedule_.slots[out].log_width](slots_[out], result);
    }
  }

  Scratch scratch_;
  const RowRun& run_;
  const Schedule& schedule_;
  const TileKernels& kernels_;
  Background background_;
  char** slots_ = nullptr;
  char** registers_ = nullptr;
  char** ahead_ = nullptr;
  RowReduction* reductions_ = nullptr;
};

/// Few rows, each longer than a chunk: every pass over a row is shared out.
void run_long_rows(const RowRun& run) {
  Scratch scratch;
  RowWorker main(run);
  const int64_t chunks = (run.length + kReduceChunk - 1) / kReduceChunk;
  for (int64_t o = 0; o < run.rows; ++o) {
    for (const Phase& phase : run.schedule.phases) {
      main.begin_phase(phase, o);
      if (!phase.row_work()) continue;
      const auto reduces = static_cast<int64_t>(phase.reduces.size());
      char* results = scratch.take<char>(chunks * reduces * 8);
      parallel_for(chunks, 1, [&](int64_t begin, int64_t end) {
        RowWorker worker(run);
        worker.copy_outer(main);
        for (int64_t c = begin; c < end; ++c)
          worker.chunk(phase, o, c * kReduceChunk, std::min(run.length, (c + 1) * kReduceChunk),
                       results + c * reduces * 8);
      });
      main.join_chunks(phase, results, chunks);
    }
  }
}

/// Whether columns of neighbouring rows are a better tile than stretches of one row: where they lie one after the other in memory
/// and the row does not, and where rows are much shorter than a vector.
bool prefer_columns(const RegionProgram& program, const Space& space, const View* views, int64_t length) {
  constexpr int64_t kFewest = 16, kShortRow = 32;
  if (space.split == 0 || space.rank == space.split || space.extent[space.split - 1] < kFewest) return false;
  if (length <= kShortRow) return true;
  int columns = 0;
  const int column = space.split - 1, last = space.rank - 1;
  for (size_t k = 0; k < program.inputs.size(); ++k) {
    if (program.inputs[k].level != Level::row || views[k].stride[last] == 0) continue;
    if (views[k].stride[last] == views[k].width())
      --columns;
    else if (views[k].stride[column] == views[k].width())
      ++columns;
  }
  return columns > 0;
}

}  // namespace

void run_rows(const CpuRegion& region, const RegionBinding& binding) {
  const int outer_rank = region.program.rank - region.program.row_rank;
  int64_t rows = 1, length = 1;
  for (int axis = 0; axis < region.program.rank; ++axis) (axis < outer_rank ? rows : length) *= binding.extents[axis];
  if (rows == 0) return;

  Scratch scratch;
  const size_t inputs = region.program.inputs.size(), outputs = region.program.outputs.size();
  View* views = scratch.take<View>(static_cast<int64_t>(inputs + outputs));
  const Space space = make_space(region.program, binding, false, views);
  Layout layout = Layout::row;
  int64_t batch = 1;
  if (prefer_columns(region.program, space, views, length)) {
    // All lanes of a reduction stay in L1. Elements of a column block that several passes go over should stay in the cache between them.
    layout = Layout::columns;
    const int64_t most = region.phases > 2 || length <= 32 ? (1 << 20) / std::max<int64_t>(length, 1) : kWidest;
    batch = std::min(std::clamp<int64_t>(most & -kTilePad, kTilePad, kWidest), space.extent[space.split - 1]);
  } else if (rows > 1 && length <= kTile / 2) {
    layout = Layout::batch;
    batch = std::min(rows, kTile / std::max<int64_t>(length, 1));
  }
  const bool long_rows = layout == Layout::row && rows < 16 && length > 2 * kReduceChunk;
  const bool assembled = region.worth_assembling(rows * length);
  const Schedule* schedule = &region.schedule(layout, !long_rows, assembled);
  if (static_cast<int64_t>(schedule->buffered.size()) * batch * length * 8 > kRowBufferBytes)
    schedule = &region.schedule(layout, false, assembled);

  char** slots = scratch.take<char*>(static_cast<int64_t>(schedule->slots.size()));
  run_scalars(region, *schedule, binding, scratch.take<char>(region.scalar_slots * kUniformBytes), slots);
  RowRun run{.region = region,
             .schedule = *schedule,
             .space = space,
             .views = views,
             .fixed_slots = slots,
             .rows = rows,
             .length = length,
             .batch = batch};
  for (size_t k = 0; k < outputs; ++k)
    for (size_t i = 0; i < inputs; ++i) run.in_place |= views[i].data == views[inputs + k].data;
  int64_t written = 0;
  for (size_t k = 0; k < outputs; ++k)
    if (region.program.outputs[k].level == Level::row) written += rows * length << views[inputs + k].log_width;
  run.past_caches = schedule->streams && layout == Layout::row && written > streaming_bytes();
  run.streaming = !run.past_caches && layout != Layout::columns && batch * length <= kLongestStreamed &&
                  written > streaming_bytes();
  if (long_rows) return run_long_rows(run);

  int64_t steps = 0;
  for (const Phase& phase : schedule->phases)
    steps += static_cast<int64_t>(phase.steps.size() + phase.reduces.size() + 1);
  const int64_t items = layout == Layout::columns ? column_items(run) : (rows + batch - 1) / batch;
  const auto body = [&](int64_t begin, int64_t end) {
    if (layout == Layout::columns) return run_columns(run, begin, end);
    RowWorker worker(run);
    for (int64_t b = begin; b < end; ++b) {
      if (layout == Layout::batch)
        worker.batch(b * batch, std::min(batch, rows - b * batch));
      else
        worker.row(b);
    }
    worker.finish_writes();
  };
  const int64_t work = std::max<int64_t>(batch * length, 1) * steps;
  if (items * work <= kInlineWork) {
    body(0, items);
    return;
  }
  parallel_for(items, std::max((kInlineWork + work - 1) / work, (items + 63) / 64), body);
}

}  // namespace plait::cpu
