// Regions without reductions: every element for itself.
#include "backends/cpu/run_elementwise.h"

#include "base/parallel.h"

namespace plait::cpu {
namespace {

constexpr int64_t kLongTile = 8 * kTile;  // where nothing lies in a tile

}  // namespace

void ElementwiseRun::run_tiles(int64_t begin, int64_t end) const {
  Scratch scratch;
  char** slots = scratch.take<char*>(static_cast<int64_t>(schedule.slots.size()));
  char** registers = scratch.take<char*>(static_cast<int64_t>(schedule.slots.size()));
  const int64_t register_bytes = (tile << schedule.log_width) + 64;
  char* memory = scratch.take<char>(schedule.tiles * register_bytes);
  for (size_t i = 0; i < schedule.slots.size(); ++i) {
    const Slot& slot = schedule.slots[i];
    slots[i] = registers[i] = slot.kind == Slot::Kind::tile ? memory + slot.index * register_bytes : fixed_slots[i];
  }
  Background background(scratch, region, schedule, views, streaming ? tile : 0);
  for (int64_t t = begin; t < end; ++t) {
    int64_t start, n;
    range(t, start, n);
    run_tile(slots, registers, background, start, n);
  }
  background.finish();
  if (past_caches) region.kernels.fence();
}

void ElementwiseRun::run_tile(char** slots, char* const* registers, Background& background, int64_t start,
                              int64_t n) const {
  const TileKernels& kernels = region.kernels;
  const bool whole = n % kTilePad == 0;
  // Kernels read to the end of the padding; so may we, inside an operand that nobody writes.
  const bool may_overread = !in_place && start + ((n + kTilePad - 1) & -kTilePad) <= count;
  if (streaming) background.begin_unit(start, n);
  for (const Phase::Load& load : phase.loads) {
    const View& view = input(load.input);
    char* const at = direct(view, start, n);
    if (at && (whole || (may_overread && view.linear))) {
      slots[load.slot] = at;
      continue;
    }
    slots[load.slot] = registers[load.slot];
    if (at)
      std::memcpy(registers[load.slot], at, static_cast<size_t>(n) << view.log_width);
    else
      gather_range(kernels, space, view, 0, space.rank, start, n, registers[load.slot]);
  }
  bool may_pass = past_caches && whole;
  for (const Phase::Store& store : phase.stores) {
    char* const at = whole && !streaming && store.made_by >= 0 ? direct(output(store.output), start, n) : nullptr;
    slots[store.slot] = at && !read_later(store) ? at : registers[store.slot];
    may_pass &= at == slots[store.slot] && is_aligned(at);
    if (streaming && store.made_by >= 0) slots[store.slot] = background.tile_of(store.output, 0);
  }
  if (streaming)
    background.run(phase.steps, slots, n);
  else if (may_pass)
    run_steps_streaming(phase.steps, slots, nullptr, n);
  else
    run_steps(phase.steps, slots, n);
  for (const Phase::Store& store : phase.stores) {
    const View& view = output(store.output);
    char* const at = direct(view, start, n);
    if (at && at == slots[store.slot]) continue;
    const int64_t bytes = n << view.log_width;
    if (at && streaming)
      background.write(at, slots[store.slot], bytes);
    else if (at)
      std::memcpy(at, slots[store.slot], static_cast<size_t>(bytes));
    else
      scatter_range(kernels, space, view, 0, space.rank, start, n, slots[store.slot]);
  }
}

void run_elementwise(const CpuRegion& region, const RegionBinding& binding) {
  int64_t count = 1;
  for (int64_t extent : binding.extents) count *= extent;
  if (count == 0) return;

  Scratch scratch;
  const Schedule& schedule = region.schedule(Layout::row, false, region.worth_assembling(count));
  const Phase& phase = schedule.phases[0];
  const size_t inputs = region.program.inputs.size(), outputs = region.program.outputs.size();
  View* views = scratch.take<View>(static_cast<int64_t>(inputs + outputs));
  char** slots = scratch.take<char*>(static_cast<int64_t>(schedule.slots.size()));
  run_scalars(region, schedule, binding, scratch.take<char>(region.scalar_slots * kUniformBytes), slots);

  ElementwiseRun run{.region = region,
                     .schedule = schedule,
                     .phase = phase,
                     .space = make_space(region.program, binding, true, views),
                     .views = views,
                     .fixed_slots = slots,
                     .count = count};
  const int64_t registers = static_cast<int64_t>(schedule.tiles + phase.loads.size());
  while (run.tile > 256 && registers * (run.tile << schedule.log_width) > 32 << 10) run.tile /= 2;

  if (schedule.tileless && count > 64 * kLongTile) run.tile = kLongTile;

  bool all_linear = true;
  for (size_t k = 0; k < inputs + outputs; ++k) all_linear &= views[k].linear;
  int64_t tiles = (count + run.tile - 1) / run.tile;
  if (!all_linear && run.space.rank > 1) {
    const int64_t length = run.space.extent[run.space.rank - 1];
    if (length >= 2 * kTilePad) {
      run.tiles_in_row = (length + run.tile - 1) / run.tile;
      run.tile = std::min(run.tile, ((length + run.tiles_in_row - 1) / run.tiles_in_row + kTilePad - 1) & -kTilePad);
      tiles = count / length * run.tiles_in_row;
    }
  }
  int64_t written = 0;
  for (size_t k = 0; k < outputs; ++k) {
    written += count << views[inputs + k].log_width;
    for (size_t i = 0; i < inputs; ++i) run.in_place |= views[i].data == views[inputs + k].data;
  }
  run.past_caches = schedule.streams && written > streaming_bytes();
  run.streaming = !run.past_caches && written > streaming_bytes();

  const int axis = block_axis(run);
  if (axis >= 0) tiles = block_count(run, axis);
  const auto body = [&](int64_t begin, int64_t end) {
    if (axis >= 0)
      run_blocks(run, axis, begin, end);
    else
      run.run_tiles(begin, end);
  };
  const int64_t work_of_tile = std::max<int64_t>(count / tiles, 1) * static_cast<int64_t>(phase.steps.size() + 2);
  if (tiles * work_of_tile <= kInlineWork) {
    body(0, tiles);
    return;
  }
  parallel_for(tiles, std::max((kInlineWork + work_of_tile - 1) / work_of_tile, (tiles + 63) / 64), body);
}

}  // namespace plait::cpu
