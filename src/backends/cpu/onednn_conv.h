#pragma once

#include "backends/cpu/gemm_conv.h"

namespace plait::cpu {

/// A convolution of float32 (bfloat16 where the machine has its products) by oneDNN, cut into parts that threads take.
///
/// a, b: the two inputs in the order of the kernel of that name; `to` is written whole. Returns false, having written
/// nothing, where oneDNN has no fast code for these extents. The cut depends on extents only.
bool onednn_convolution(ConvKind kind, const ConvGeometry& g, DType dtype, const void* a, const void* b, void* to);

}  // namespace plait::cpu
