// Attention of few queries, as in decoding.
#pragma once

#include "backends/attention.h"
#include "backends/cuda/kernels/launch.h"

namespace plait::cuda {

/// Whether `attend_few` has a kernel for it: few queries of heads that share keys, numbers of 16 or 32 bits, rows of keys and values that
/// are whole pieces of 16 bytes and begin at such.
bool is_for_few(const AttentionCall& at);

/// `y` is row-major; of each row the largest score and the sum of exponentials go to `most` and `total`.
void attend_few(Work& work, const AttentionCall& at, const TensorView* sinks, const TensorView& y, float* most,
                float* total);

}  // namespace plait::cuda
