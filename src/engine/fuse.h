#pragma once

#include <cstdint>
#include <vector>

#include "engine/plan.h"
#include "graph/op.h"

namespace plait::engine {

/// What a node does once the graph is cut.
enum class Role : uint8_t {
  unused,    // nothing that is asked for reads it
  grouped,   // computed inside a region
  constant,  // a bound scalar of the regions that read it; in memory only when something else asks
  index_map, // what regions see through (broadcast, expand_dims, squeeze, reshapes of 1s, placeholders, aliases)
  view,      // another view: an alias when strides can express it
  kernel,    // opaque and control
  barrier,   // an alias that comes after all of its inputs
};

/// A value seen through index maps: the value that holds the elements, and which axis of the asked-for value each of
/// its axes became.
struct Base {
  ValueId value;
  AxisMap axes;
};

inline constexpr int32_t kNoGroup = -1;
inline constexpr size_t kMaxGroupNodes = 256;  // programs stay small enough for a JIT and for the tile registers

/// Each axis as itself.
AxisMap identity(size_t rank);

/// Axes of a value in terms of a third one's: `inner` in terms of the second's, those in terms of the third's.
AxisMap composed(const AxisMap& inner, const AxisMap& outer);

/// How much memory a value takes, where all axes are equally long: a plan serves every extent.
double relative_size(const Graph& graph, ValueId v);

/// Axes of an elementwise node's output along which those of operand v run.
AxisMap aligned(const Graph& graph, ValueId v, ValueId output);

/// Axes along which those of operand v of an elementwise node run, where those of the node's output run along `axes`.
AxisMap operand_axes(const Graph& graph, ValueId v, ValueId output, const AxisMap& axes);

/// A maximal set of nodes that one pass over an iteration space computes.
struct Group {
  std::vector<uint32_t> nodes;  // in order
  ValueId founder = 0;          // its shape is the iteration space
  std::vector<SymbolId> space;
  uint32_t reduced = 0;         // bit per axis of the space
  Place place = kCpu;
  bool alive = true;

  bool trailing() const;        // reduced axes are the innermost ones
};

/// The graph cut into regions. When formed exactly, nodes of one group never depend on each other through a node outside of it.
struct Regions {
  std::vector<Role> roles;  // per node
  std::vector<int32_t> group_of;  // per node
  std::vector<ir::Level> levels;  // per grouped node
  std::vector<AxisMap> axes;  // per grouped node: axis of its group's space per own axis
  std::vector<Group> groups;
  // Per value: must be in memory while the plan runs. A region that reads another's value which is not in memory computes
  // it again, from what is.
  std::vector<uint8_t> demanded;

  /// Follows index maps from `v` to where the elements are.
  Base base_of(const Graph& graph, ValueId v) const;
};

/// Node that computes v, or -1 for a leaf.
int64_t producer(const Graph& graph, ValueId v);

/// Whether outputs are inputs: placeholders and aliases.
bool passes_on(const OpDef* op);
/// The value that output v of such a node is.
ValueId aliased(const Graph& graph, ValueId v);

/// Whether a view only renames axes, or adds and removes some of extent 1.
bool sees_through(const Graph& graph, uint32_t node);

/// How far to go; `nothing` makes each a region of one node. Groups that run as one may come to depend on each other in a
/// circle unless dependencies are followed `exactly`, which takes longer.
enum class Fuse : uint8_t { nothing, quickly, exactly };

Regions form_regions(const Graph& graph, Fuse how);
/// Fills in Regions::demanded; the last step of forming them.
void find_demand(const Graph& graph, Fuse how, Regions& regions);

/// Builds program and bindings of one group. `node_values` receives nothing outside; outputs are the demanded values.
RegionStep lower_group(const Graph& graph, const Regions& regions, const Group& group);
/// A region that only materialises one constant.
RegionStep lower_constant(const Graph& graph, uint32_t node);

}  // namespace plait::engine
