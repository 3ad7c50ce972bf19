#include "backends/cuda/kernels/faults.h"

#include <array>
#include <atomic>
#include <string>

#include "backends/cuda/runtime/cuda.h"
#include "graph/source.h"
#include "plait/error.h"

namespace plait {
namespace {

constexpr std::array<std::string_view, 6> kOps = {"take",         "take_along_axis", "put_along_axis",
                                                  "scatter_rows", "slice_dynamic",   "slice_update_dynamic"};
constexpr memory::Queue kNotes = 4096;  // as many as there can be queues
std::atomic<FaultNote*> notes{nullptr};

FaultNote* allocate_notes() {
  void* data = nullptr;
  check_cuda(cudaHostAlloc(&data, kNotes * sizeof(FaultNote), cudaHostAllocPortable | cudaHostAllocMapped),
             "memory for reports from the device");
  auto* made = static_cast<FaultNote*>(data);
  for (memory::Queue i = 0; i < kNotes; ++i) made[i] = FaultNote();
  FaultNote* expected = nullptr;
  if (notes.compare_exchange_strong(expected, made, std::memory_order_acq_rel)) return made;
  cudaFreeHost(data);
  return expected;
}

}  // namespace

FaultNote* fault_note(memory::Queue queue) {
  FaultNote* all = notes.load(std::memory_order_acquire);
  if (!all) all = allocate_notes();
  return all + queue;
}

int64_t fault_op(std::string_view op) {
  for (size_t i = 0; i < kOps.size(); ++i)
    if (kOps[i] == op) return static_cast<int64_t>(i) + 1;
  throw InternalError("fault_op: an op without a number");
}

void throw_noted_fault(memory::Queue queue) {
  FaultNote* all = notes.load(std::memory_order_acquire);
  if (!all) return;
  volatile FaultNote& note = all[queue];
  if (note.op == 0) return;
  const FaultNote seen{note.op, note.given, note.n, note.most, note.source};
  note.op = 0;
  throw IndexError({.op = std::string(kOps[static_cast<size_t>(seen.op - 1)]),
                    .got = "position " + std::to_string(seen.given) + " in an axis of extent " + std::to_string(seen.n),
                    .accepts = seen.n == 0 ? "no position: the axis is empty"
                                           : std::to_string(-seen.n) + " to " + std::to_string(seen.most),
                    .where = describe_source(static_cast<SourceId>(seen.source))});
}

}  // namespace plait
