// The tile interpreter: how a region's program looks when it is ready to run.
#pragma once

#include <array>
#include <atomic>
#include <memory>
#include <vector>

#include "backends/cpu/tile_kernels.h"
#include "backends/region.h"
#include "base/once.h"

namespace plait::cpu {
namespace jit {
class Code512;
}

/// Elements of a tile: small enough that the values of a program stay in L1.
inline constexpr int64_t kTile = kReduceBlock;

/// A region's program with conversions of memory and copies made explicit, one node a value.
struct Node {
  enum class Kind : uint8_t { constant, scalar, load, compute, reduce };
  Kind kind = Kind::compute;
  ir::Level level = ir::Level::row;
  DType dtype = DType::float32;  // as it lies in a tile: 16-bit floats before they are converted, too
  TileFn fn = nullptr;
  ir::Op op = ir::Op::count_;  // of a compute node that may join a chain
  std::array<int, 3> operands = {-1, -1, -1};
  int index = 0;    // load: input; scalar: which; constant: which; reduce: ir::Op
  int phase = 0;    // row values: the pass over the row that makes them; outer values: the pass they are made before
  int own_cost = 0;
  int cost = 0;     // of making a row value again from its loads
  int output = -1;  // the output that is this value
};

/// One instruction; or, with `chain`, the `b` ops from `ops` on; or, with `code`, many that were assembled into one.
struct Step {
  TileFn fn = nullptr;
  const jit::Code512* code = nullptr;
  ChainFn chain = nullptr;
  const ChainOp* ops = nullptr;
  int out = 0, a = 0, b = 0, c = 0;  // slots
  unsigned uniform = 0;
  int cost = 1;  // roughly, of one element
};

/// Where a slot's memory is.
struct Slot {
  enum class Kind : uint8_t { constant, scalar, outer, tile, row, lanes };
  Kind kind = Kind::tile;
  // constant, scalar: which; outer: which; tile: register; row: buffer that holds the value for the whole row; lanes: of which of
  // the pass's reductions
  int index = 0;
  int log_width = 2;
};

/// One pass over the row.
struct Phase {
  struct Load {
    int input = 0, slot = 0;
    int last_use = 0;  // the last step that reads it
    bool last_pass = true;  // no later pass over the row reads the input
  };
  struct Store {
    int output = 0, slot = 0;
    int made_by = 0;  // step, or -1: it must be copied out
  };
  struct Reduce {
    int node = 0;  // its ReduceFns
    int in = 0, out = 0;  // slots
    bool fused = false;  // a step accumulates it
  };
  struct Expand {
    int from = 0, to = 0;
    int log_width = 2;
  };
  std::vector<Load> outer_loads;
  std::vector<Step> outer_steps;  // before the pass, once a row (or a batch of rows)
  std::vector<Store> outer_stores;
  std::vector<Expand> expands;  // outer values repeated along each row of a batch
  std::vector<Load> loads;
  std::vector<Step> steps;
  std::vector<ChainOp> chain_ops;
  std::vector<Store> stores;
  std::vector<Reduce> reduces;
  bool row_work() const { return !steps.empty() || !stores.empty() || !reduces.empty(); }
};

/// The program laid out for one way of going over the iteration space.
enum class Layout : uint8_t {
  row,  // a tile lies in one row: outer values are uniform
  batch,  // a tile holds several whole rows: outer values are expanded along them
  columns,  // a tile is one position of many neighbouring rows: outer values are tiles
};

struct Schedule {
  std::vector<Slot> slots;
  std::vector<Phase> phases;
  std::vector<Step> scalar_steps;
  std::vector<int> buffered;  // log2 of the width of each row buffer
  int tiles = 0;  // registers
  int outers = 0;
  int log_width = 0;  // of the widest value that lives in a register
  std::vector<std::shared_ptr<const jit::Code512>> code;
  bool streams = false;  // assembled steps make all results of rows, and can send them past the caches by themselves
  bool tileless = false;  // nothing lies in a tile between steps
};

/// Whether programs are assembled: once they have done work that makes it worthwhile; the others are for tests.
enum class Assembling : uint8_t { automatic, never, always };

class CpuRegion final : public CompiledRegion {
 public:
  explicit CpuRegion(RegionProgram program);
  void run(const RegionBinding& binding) const override;
  const char* how() const override;

  const Schedule& schedule(Layout layout, bool buffered, bool assembled) const;
  /// Whether the coming run over `elements` should use assembled steps; counts the work.
  bool worth_assembling(int64_t elements) const;
  Assembling assembling = Assembling::automatic;

  RegionProgram program;
  std::vector<Node> nodes;
  std::vector<uint64_t> constants;  // bits
  std::unique_ptr<char[]> constant_memory;
  const char* constant_at(int index) const;
  int phases = 1;
  int scalar_slots = 0;
  TileKernels const& kernels;

 private:
  struct Lazy {
    Once once;
    Schedule schedule;
  };
  mutable Lazy schedules_[3][2][2];
  mutable std::atomic<int64_t> work_ = 0;  // elements times instructions so far
};

/// Fills in nodes, constants and phases from the program.
void lower_program(CpuRegion& region);
/// Lays the nodes out for one layout. Errors: jit::NoExecutableMemory.
Schedule make_schedule(const CpuRegion& region, Layout layout, bool buffered, bool assembled);
/// Joins neighbouring steps on floats of one width into chains. `node_of_step[i]`: the node that step i computes, or -1;
/// `uses[id]`: the last step that reads the value.
void make_chains(const CpuRegion& region, const std::vector<Slot>& slots, const std::vector<int>& node_of_step,
                 const std::vector<int>& uses, Phase& phase);
void run_elementwise(const CpuRegion& region, const RegionBinding& binding);
void run_rows(const CpuRegion& region, const RegionBinding& binding);

}  // namespace plait::cpu
