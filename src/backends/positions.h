#pragma once

#include <string_view>
#include <vector>

#include "backends/kernel.h"

namespace plait {

/// Elements of an integer tensor as positions in an axis of extent n, negative ones counted from the end.
/// Errors: IndexError naming `op` for one outside -n to n - 1.
std::vector<int64_t> checked_positions(std::string_view op, const TensorView& at, int64_t n);

/// The check alone.
void check_positions(std::string_view op, const TensorView& at, int64_t n);

}  // namespace plait
