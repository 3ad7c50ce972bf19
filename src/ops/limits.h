#pragma once

#include <limits>

#include "plait/dtype.h"

namespace plait {

/// The largest finite value of a floating dtype; its negative is the lowest.
constexpr double largest_finite(DType d) {
  switch (d) {
    case DType::float16: return 65504;
    case DType::bfloat16: return 3.3895313892515355e38;
    case DType::float32: return std::numeric_limits<float>::max();
    default: return std::numeric_limits<double>::max();
  }
}

}  // namespace plait
