// Generated code in the process: built once for each text and kind of GPU, kept for good.
#pragma once

#include <cuda_runtime_api.h>

#include <memory>
#include <vector>

#include "backends/cuda/regions/text.h"

namespace plait::cuda {

/// A text's kernels, in the order of Source::kernels. Loaded on each device as it is used there.
struct Module {
  std::vector<cudaKernel_t> kernels;
};

enum class Wait : uint8_t { no, yes };

/// The module of a text for GPUs of this compute capability; null while it is being built elsewhere, or when that failed, which is said
/// once on stderr. With Wait::yes it is built now, and errors are thrown.
const Module* module_of(const Source& source, int capability, Wait wait);

/// 90 for a GPU of compute capability 9.0.
int capability_of(int device);

}  // namespace plait::cuda
