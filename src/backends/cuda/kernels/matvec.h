// Products of one row, as in decoding.
#pragma once

#include "backends/cuda/kernels/matmul_plain.h"

namespace plait::cuda {

/// Multiplies one row by a matrix whose columns each lie together (or a matrix whose rows do by one column), numbers of 16 or 32
/// bits in pieces of 16 bytes. False, and nothing has happened, for other products.
bool multiply_row(const Work& work, const Product& p);

}  // namespace plait::cuda
