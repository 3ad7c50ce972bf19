// One run of programs of the register machine: everything they read goes to the device at once, then each may be launched.
#pragma once

#include <memory>
#include <vector>

#include "backends/cuda/regions/scratch.h"
#include "backends/cuda/regions/space.h"
#include "backends/cuda/regions/tier0.h"

namespace plait::cuda {

class MachineRun {
 public:
  MachineRun(const std::vector<const StepProgram*>& programs, const std::vector<uint64_t>& constants,
             const Bound& bound, const RegionBinding& binding);
  void launch(size_t program, MachineForm form, const Batch& batch, cudaStream_t stream);

 private:
  std::vector<MachineArguments> arguments_;
  std::unique_ptr<Scratch> uploaded_, registers_;
};

}  // namespace plait::cuda
