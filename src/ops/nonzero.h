#pragma once

#include "plait/array.h"

namespace plait {

/// Where a mask is true, counted through its elements in row-major order: int32, or int64 where that needs it. Evaluates it.
Array true_positions(const Array& mask);

}  // namespace plait
