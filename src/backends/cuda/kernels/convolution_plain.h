// Convolutions as plain loops, for what cuDNN does not take, and the copies that bring others into its form.
#pragma once

#include "backends/convolution.h"
#include "backends/cuda/kernels/launch.h"

namespace plait::cuda {

/// Which of the three values is made from the other two, in the order x, w, y.
enum class ConvKind { forward, input, weight };

void convolution_plain(const Work& work, ConvKind kind, const ConvGeometry& g, DType dtype, const void* a,
                       const void* b, void* to);

/// Elements of `bytes` bytes of images: to (n, extents...) at p holds from (n, from_extents...) at p + offset, and zero
/// where that lies outside.
void copy_window(const Work& work, int64_t n, int64_t bytes, void* to, const ConvGeometry::Extents& extents,
                 const void* from, const ConvGeometry::Extents& from_extents, const ConvGeometry::Extents& offset);

/// What each output sees of x, zero where it looks outside: to (n out..., kernel... c) from x, elements of `bytes` bytes. One group.
void copy_patches(const Work& work, const ConvGeometry& g, int64_t bytes, void* to, const void* x);

}  // namespace plait::cuda
