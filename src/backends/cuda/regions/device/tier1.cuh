// What generated source begins with.
#pragma once

#include "backends/cuda/regions/device/memory.cuh"
#include "backends/cuda/regions/device/reduce.cuh"

namespace plait::cuda {

/// Of a region with N operands (inputs, then outputs) and S bound scalars.
template <int N, int S>
struct Arguments {
  Space space;
  Operand operand[N > 0 ? N : 1];
  u64 scalar[S > 0 ? S : 1];
};

}  // namespace plait::cuda
