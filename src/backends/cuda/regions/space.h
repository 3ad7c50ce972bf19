// From the bindings of a run to the space and operands that a launch gets.
#pragma once

#include <vector>

#include "backends/cuda/regions/device/bound.h"
#include "backends/cuda/regions/staged.h"

namespace plait::cuda {

struct Bound {
  Space space;
  std::vector<Operand> operands;  // inputs, then outputs

  long long elements() const { return space.rows * space.length; }
};

/// Rows of the region, with its reductions' axes in the row; without a row, rows lie along the last axis of the space.
Bound bind(const Staged& staged, const RegionBinding& binding);

/// Whether all elements of what varies lie in the order of the space, and vectors of `lanes` elements are aligned: one row.
bool is_linear(const Staged& staged, const Bound& bound, int lanes);

/// Whether rows consist of whole vectors of `lanes` elements that are neighbours and aligned, in all operands that vary along them.
bool is_even(const Staged& staged, const Bound& bound, int lanes);

/// Whether some operand's neighbouring rows are closer in memory than its neighbouring elements of a row. Programs without a row.
bool is_across(const Staged& staged, const Bound& bound);

/// Whether neighbouring rows are closer in memory than neighbouring elements of a row: threads then take a row each.
bool is_columns(const Staged& staged, const Bound& bound);

}  // namespace plait::cuda
