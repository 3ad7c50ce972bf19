#pragma once

#include "backends/convolution.h"

namespace plait::cpu {

/// Which of the three values of a convolution is made.
enum class ConvKind : uint8_t { forward, input, weight };

/// A convolution of float32 or float64 as products of matrices that packing gathers from the images, so that they never
/// lie in memory whole. a, b: the two inputs in the order of the kernel of that name; `to` is written whole.
void gemm_convolution(ConvKind kind, const ConvGeometry& g, DType dtype, const void* a, const void* b, void* to);

}  // namespace plait::cpu
