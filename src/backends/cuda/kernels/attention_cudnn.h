// Attention by cuDNN: what it is given, and when.
#pragma once

#include "backends/attention.h"
#include "backends/cuda/kernels/launch.h"

namespace plait::cuda {

/// Whether it is asked at all, whether it is waited for, and whether backward too gives the same bits each time: PLAIT_CUDNN_ATTENTION,
/// or what was set last. Threads: any.
enum class CudnnAttention : uint8_t { never, when_ready, always, deterministic };
void set_cudnn_attention(CudnnAttention wanted);

/// Whether a call is for cuDNN, by what it is of: 16-bit floats, widths that are multiples of 8 up to 256, a scale above 0, no mask or a causal
/// one under which every query sees a key, no sinks. Of any strides. What cuDNN then has no engine for takes the other way too.
bool is_for_cudnn(const AttentionCall& at, bool sinks);

/// False, with nothing done, where the call is not for cuDNN, it has no engine for it, or its plan is still being made. Then
/// `most` is the logarithm of the sum and `total` is 1.
bool attend_by_cudnn(Work& work, const AttentionCall& at, const KernelArgs& args);
/// Likewise the gradient; delta has to be what `result` and the cotangent say.
bool attend_back_by_cudnn(Work& work, const AttentionCall& at, const KernelArgs& args);

}  // namespace plait::cuda
