#pragma once

// What op files include: the registry, the formulas of kernel IR, and the public functions as building blocks of rules.

#include <algorithm>
#include <optional>
#include <vector>

#include "graph/checks.h"
#include "graph/core_attrs.h"
#include "graph/elementwise.h"
#include "graph/registry.h"
#include "plait/array.h"
#include "plait/ops.h"

namespace plait {

using ir::Val;

/// `axis` counted from the front. Errors: AxisError naming `op`.
int checked_axis(std::string_view op, int axis, int rank);
/// Sorted, non-negative, without repeats; all axes when there are none. Errors: AxisError, ArgumentError on repeats.
std::vector<int> checked_axes(std::string_view op, const Axes& axes, int rank);
/// The user's line now running, for errors raised while a node is built.
std::string here();

/// Batching rules that only shift axes: what a view or kernel does behind a batch axis at the front.
inline int behind_batch(int axis) { return axis + 1; }

/// `a` with the batch axis moved from `from` to the front.
Array moved_to_front(const Array& a, int from);

}  // namespace plait
