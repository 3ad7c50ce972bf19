#include "backends/cuda/regions/machine_run.h"

#include <algorithm>
#include <cstring>

namespace plait::cuda {
namespace {

/// Items one behind the other, with their offsets.
class Block {
 public:
  template <class T>
  size_t add(const std::vector<T>& items) {
    const size_t at = (bytes.size() + 15) & ~size_t{15};
    bytes.resize(at + items.size() * sizeof(T));
    if (!items.empty()) std::memcpy(bytes.data() + at, items.data(), items.size() * sizeof(T));
    return at;
  }
  std::vector<char> bytes;
};

}  // namespace

MachineRun::MachineRun(const std::vector<const StepProgram*>& programs, const std::vector<uint64_t>& constants,
                       const Bound& bound, const RegionBinding& binding) {
  std::vector<uint64_t> scalars;
  for (const ScalarBits& s : binding.scalars) scalars.push_back(s.bits);
  Block block;
  const size_t operands_at = block.add(bound.operands), scalars_at = block.add(scalars),
               constants_at = block.add(constants);
  struct At {
    size_t steps, reductions;
  };
  std::vector<At> at;
  int64_t registers = 0;
  for (const StepProgram* p : programs) {
    std::vector<Step> steps = p->once;
    steps.insert(steps.end(), p->row.begin(), p->row.end());
    steps.insert(steps.end(), p->elements.begin(), p->elements.end());
    at.push_back({block.add(steps), block.add(p->reductions)});
    registers = std::max(registers, machine_memory(*p));
  }
  refuse_recording(binding.queue, "a region whose code is not made yet");
  uploaded_ = std::make_unique<Scratch>(binding.queue, static_cast<int64_t>(block.bytes.size()) + 16);
  cuda_memory().upload(binding.queue, uploaded_->bytes(), block.bytes.data(), static_cast<int64_t>(block.bytes.size()));
  registers_ = std::make_unique<Scratch>(binding.queue, registers);

  const char* const base = uploaded_->bytes();
  for (size_t k = 0; k < programs.size(); ++k) {
    const StepProgram& p = *programs[k];
    MachineArguments a{};
    a.space = bound.space;
    a.operands = reinterpret_cast<const Operand*>(base + operands_at);
    a.scalars = reinterpret_cast<const unsigned long long*>(base + scalars_at);
    a.constants = reinterpret_cast<const unsigned long long*>(base + constants_at);
    a.steps = reinterpret_cast<const Step*>(base + at[k].steps);
    a.reductions = reinterpret_cast<const StepReduction*>(base + at[k].reductions);
    a.memory = machine_memory(p) > 0 ? registers_->words() : nullptr;
    a.once = static_cast<int>(p.once.size());
    a.row = static_cast<int>(p.row.size());
    a.elements = static_cast<int>(p.elements.size());
    a.reduction_count = static_cast<int>(p.reductions.size());
    a.slots = p.slots;
    arguments_.push_back(a);
  }
}

void MachineRun::launch(size_t program, MachineForm form, const Batch& batch, cudaStream_t stream) {
  arguments_[program].batch = batch;
  check_cuda(launch_machine(form, arguments_[program], stream), "launch of a region on tier 0");
}

}  // namespace plait::cuda
