#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "backends/kernel.h"
#include "backends/region.h"
#include "base/function_ref.h"
#include "engine/graph.h"
#include "engine/replay.h"
#include "engine/structure.h"

/// What to do for every graph with one key. Everything refers to the graph by number; extents, scalars, strides and
/// memory come from the graph at hand when the plan is bound.
namespace plait::engine {

/// Which axis of the iteration space each axis of a value runs along; kNoAxis for extents of 1 that are stretched.
inline constexpr int8_t kNoAxis = -1;
using AxisMap = SmallVector<int8_t, 6>;

struct RegionStep {
  struct Operand {
    ValueId value;
    AxisMap axes;  // per axis of the value: axis of the iteration space
  };
  struct Extent {
    ValueId value;
    int axis;
  };
  std::vector<uint32_t> nodes;
  std::vector<Extent> extents;     // per iteration axis: where to read it
  std::vector<Operand> inputs;
  std::vector<Operand> outputs;
  std::vector<uint32_t> constants;  // nodes whose value is the k-th bound scalar
  // Per output: inputs whose memory it may take over where that is free. First those that were there before the plan: theirs
  // goes only at the end when nobody takes it.
  std::vector<std::vector<int>> donors;
  std::unique_ptr<CompiledRegion> code;
};

struct Step {
  enum class Kind : uint8_t { region, view, kernel, control };
  Kind kind = Kind::kernel;
  uint32_t node = 0;  // all but regions: which
  uint32_t region = 0;
  const Kernel* kernel = nullptr;  // the CPU's
  const Kernel* device_kernel = nullptr;  // the device's, where `place` has one
  Place place = kCpu;
  struct Alias {
    ValueId from, to;
  };
  std::vector<Alias> aliases;  // view, of a placeholder or an alias: what it passes on
  std::vector<ValueId> dies;  // values not needed after this step
};

struct Plan {
  std::vector<Step> steps;
  std::vector<RegionStep> regions;
  size_t node_count = 0;
  Structure structure;
  mutable Replays replays;
};

/// What a step reads from memory, and what it puts there.
std::vector<ValueId> reads_of(const Plan& plan, const Graph& graph, const Step& step);
std::vector<ValueId> writes_of(const Plan& plan, const Graph& graph, const Step& step);

/// Plans a graph: cuts it into regions (`fuse` false: of one operation each) and orders the steps. Errors: InternalError
/// when an op has no way to run.
std::unique_ptr<Plan> make_plan(const Graph& graph, bool fuse = true);

/// Looks on while a plan runs, on the thread that runs it.
class Watch {
 public:
  using Values = FunctionRef<const Storage&(ValueId)>;

  virtual ~Watch() = default;
  /// Whether values are to stay as they are until the last step that reads them is over: nothing is overwritten then.
  virtual bool keeps_operands() const { return false; }
  virtual void before(const Step&) {}
  /// The results of the step are known; on a device they may still be in the making. What it throws ends the run.
  virtual void after(const Step& step, Values values) = 0;
};

/// Memory of the caller's for a value that the plan computes: row-major, and on the place named, part of a larger buffer
/// perhaps. Steps that run elsewhere, views and nested programs leave it as it is and give their own.
struct Destination {
  ValueId value;
  Storage storage;
  Place place;
};

/// What a recording has instead of what changes from run to run.
struct StandIns {
  std::vector<Storage> leaves;  // by number of the value
  memory::PositionNote* note = nullptr;  // where its kernels note positions and matrices
};

struct RunOptions {
  bool private_leaves = false;  // no trace can reach the leaves: those that die may be overwritten while one is open
  std::span<const Destination> destinations = {};
  Watch* watch = nullptr;
  // While the run is recorded. Nothing may leave the device then.
  const StandIns* stand_ins = nullptr;
};

/// Binds the plan to the graph and runs it. Afterwards `results[v]` holds the storage of every value of a needed node; what
/// devices compute of it is enqueued.
/// `consumed` collects leaf nodes whose memory was taken over. Errors: what steps and the watch raise, with the user's line.
void run_plan(const Plan& plan, const Graph& graph, std::vector<Storage>& results, std::vector<Node*>& consumed,
              const RunOptions& options = {});

}  // namespace plait::engine
