#pragma once

#include <cstdint>

#include "base/hash.h"
#include "engine/graph.h"

namespace plait::engine {

/// The parts of a graph's key, kept with its plan to say what is new about another graph.
struct Structure {
  Key128 operations;  // which, in order
  uint64_t connections = 0;
  uint64_t attributes = 0;
  uint64_t dtypes = 0;
  uint64_t ranks = 0;
  uint64_t extents = 0;  // which are 1, which are equal
  uint64_t leaves = 0;   // which values were computed before
  uint64_t held = 0;     // which results somebody holds
  uint64_t places = 0;
  bool fused = true;
};

Structure structure_of(const Graph& graph, bool fused);
/// What is new against `known`, a structure of the same operations; "" when nothing is.
const char* difference(const Structure& graph, const Structure& known);

}  // namespace plait::engine
