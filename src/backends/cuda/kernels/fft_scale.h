// What cuFFT leaves to its caller.
#pragma once

#include <cstdint>

#include "backends/cuda/kernels/launch.h"

namespace plait::cuda {

/// Multiplies `count` floats by a number.
void scale(const Work& work, float* data, int64_t count, float factor);

}  // namespace plait::cuda
