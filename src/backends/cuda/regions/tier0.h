// Tier 0: a precompiled register machine that runs the program of any region at once.
#pragma once

#include <cuda_runtime_api.h>

#include <cstdint>
#include <vector>

#include "backends/cuda/regions/device/bound.h"
#include "backends/cuda/regions/staged.h"

namespace plait::cuda {

/// One instruction for the machine. Registers are slots of 64 bits, one for each thread; values of elements take kStepLanes
/// neighbouring ones. `advance` has a bit for each operand that has so many.
struct Step {
  uint16_t op;  // ir::Op, or one of below
  uint8_t from, to;  // DType of the first operand (of select: the second) and of the result
  uint16_t dst, a, b, c;
  uint8_t advance;
  uint8_t count;  // of results
  uint16_t index;
};
inline constexpr int kStepLanes = 4;
enum : uint16_t {
  kStepBase = 1000,  // where an operand's row begins
  kStepResult,  // of a reduction of an earlier pass
  kStepStore,  // a into operand `index`, whose row begins at b
  kStepAccumulate,  // a into the lanes at dst, by the reduction in `index`
  kStepExpNarrow,  // of float32
};

/// A reduction that a pass ends: its lanes begin at slot `lanes`.
struct StepReduction {
  uint16_t op, type, lanes, place;
};

/// Steps done once, once a row, and for each vector of elements.
struct StepProgram {
  std::vector<Step> once, row, elements;
  std::vector<StepReduction> reductions;
  int slots = 0;
};

/// What the machine runs of a region: a program for each pass, one for row outputs, one for outer outputs.
struct Tier0Programs {
  explicit Tier0Programs(const Staged& staged);
  std::vector<StepProgram> passes;
  StepProgram row_outputs, outer_outputs;
  std::vector<uint64_t> constants;
};

/// What a launch of the machine gets.
struct MachineArguments {
  Space space;
  Batch batch;
  const Operand* operands;
  const unsigned long long* scalars;
  const unsigned long long* constants;
  const Step* steps;
  const StepReduction* reductions;
  unsigned long long* memory;  // for registers where they do not fit into shared memory
  int once, row, elements, reduction_count, slots;
};

enum class MachineForm : uint8_t {
  vectors,
  rows,
  outer
};  // a thread a vector; a warp a chunk of a row; a thread a row
inline constexpr int kMachineThreads = 128;
/// Bytes of `MachineArguments::memory` that a program needs, or 0.
int64_t machine_memory(const StepProgram& program);
/// Once on each device, before the first launch there.
cudaError_t load_machine();
cudaError_t launch_machine(MachineForm form, const MachineArguments& arguments, cudaStream_t stream);

/// The next round of a reduction: chunks of `count` partial results of each of `rows` rows.
cudaError_t launch_combine(ir::Op op, DType type, const unsigned long long* from, unsigned long long* to,
                           long long rows, long long count, cudaStream_t stream);

}  // namespace plait::cuda
