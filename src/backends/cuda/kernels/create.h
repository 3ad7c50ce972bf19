// One value everywhere, for kernels that add to what is there.
#pragma once

#include "backends/cuda/kernels/launch.h"
#include "plait/scalar.h"

namespace plait::cuda {

/// Writes `value`, converted to the dtype, to every element of row-major memory.
void fill(const Work& work, const TensorView& out, const Scalar& value);

}  // namespace plait::cuda
