// From steps of the tile interpreter to programs that are assembled.
#pragma once

#include <span>

#include "backends/cpu/interpreter.h"
#include "backends/cpu/jit/tape.h"

namespace plait::cpu::jit {

/// Writes the formula of a node to `tape`, its operands being values there: the number of its value, or -1 where it has no form
/// on vectors of floats. `from`: dtypes of the operands as they lie in tiles.
int record(const Node& node, std::span<const DType> from, std::span<const int> operands, Tape& tape);

/// The value of a slot; `uniform`: one for all elements. -1 for dtypes that are not assembled.
int record_slot(int slot, DType dtype, bool uniform, Tape& tape);

/// The value as a result: what is stored is never a leaf, so that all operands are read before anything is written.
int stored(int value, Tape& tape);

/// Whether the node may be part of a fused step.
bool may_join(const std::vector<Node>& nodes, const Node& node);

}  // namespace plait::cpu::jit
