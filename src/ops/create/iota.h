#pragma once

#include "plait/array.h"

namespace plait {

/// 0, 1, 2, ... below n.
Array iota(Dim n, DType dtype);

/// An extent as a 0-d number: a constant, or under a trace whatever the extent then is.
Array extent(Dim n, DType dtype);

}  // namespace plait
