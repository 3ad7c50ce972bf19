#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "base/hash.h"
#include "graph/node.h"
#include "plait/array.h"

/// A snapshot of pending work: what one evaluation has to compute, numbered, with the key that names its structure.
namespace plait::engine {

using ValueId = uint32_t;
/// Extents by equality class: equal ids mean equal extents in every graph with the same key. 0 and 1 name themselves.
using SymbolId = uint32_t;

/// Where a node runs: a stream of a device, or kCpu for all streams of the CPU, whose work is one.
using Place = uint32_t;
inline constexpr Place kCpu = 0;

class Event;

/// Borrowed, not owned: valid while the roots live and, for `nodes`, while the evaluation that claimed them runs.
struct Graph {
  struct Value {
    Node* node;
    uint32_t output;
    bool leaf;          // evaluated before (or being evaluated by somebody else)
    uint32_t shape_at;  // into `symbols`
    uint32_t producer;  // into `nodes`, when no leaf
    uint32_t uses = 0;  // by nodes of this graph
  };

  std::vector<Node*> nodes;               // inputs before users
  std::vector<ValueId> first_value;       // per node: its output 0; the others follow
  std::vector<uint32_t> inputs_at;        // per node (+1): into `inputs`
  std::vector<ValueId> inputs;
  std::vector<Value> values;
  std::vector<SymbolId> symbols;
  std::vector<uint8_t> needed;            // per node: must be in memory afterwards
  std::vector<Place> places;              // per node
  std::vector<std::shared_ptr<Event>> waits;
  Key128 key;

  std::span<const ValueId> inputs_of(size_t node) const {
    return {inputs.data() + inputs_at[node], inputs.data() + inputs_at[node + 1]};
  }
  const Aval& aval(ValueId v) const { return values[v].node->avals[values[v].output]; }
  DType dtype(ValueId v) const { return aval(v).dtype; }
  int rank(ValueId v) const { return aval(v).shape.rank(); }
  std::span<const SymbolId> shape(ValueId v) const {
    return {symbols.data() + values[v].shape_at, static_cast<size_t>(rank(v))};
  }
};

/// Numbers what the roots need and claims it: every node in `nodes` is `claimed` under `event` afterwards.
/// Call with the graph lock held. Errors: TransformError for a placeholder that has no value; `culprit` is its line then,
/// to be described without the lock. What an earlier failure left in a node.
Graph collect(std::span<const Array> roots, const std::shared_ptr<Event>& event, SourceId& culprit);

/// Which nodes are among `from` or made of their values; one flag per node.
std::vector<bool> made_of(const Graph& g, std::vector<bool> from);

}  // namespace plait::engine
