#include "engine/devices.h"

#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <mutex>
#include <string_view>
#include <unordered_map>
#include <unordered_set>

#include "backends/device_library.h"
#include "backends/simulated/simulated.h"
#include "base/trace.h"
#include "plait/debug.h"
#include "plait/error.h"

namespace plait::engine {
namespace {

struct Queues {
  std::mutex mutex;
  std::unordered_map<Place, memory::Queue> of;
};
Queues& queues() {
  static auto* instance = new Queues;
  return *instance;
}

constinit std::atomic<Fallback> the_fallback{Fallback::say};

// Bytes are moved as unsigned integers, which keeps every bit.
DType carrier(int width) {
  switch (width) {
    case 1: return DType::uint8;
    case 2: return DType::uint16;
    case 4: return DType::uint32;
    default: return DType::uint64;
  }
}

std::unique_ptr<CompiledRegion> make_copy(int rank, int width) {
  ir::Builder builder;
  RegionProgram program;
  program.rank = rank;
  program.inputs.push_back({carrier(width), ir::Level::row});
  program.outputs.push_back({builder.input(0, carrier(width), ir::Level::row).id, carrier(width), ir::Level::row});
  program.code = builder.take();
  return device_backend()->compile_region(std::move(program));
}

const CompiledRegion& copy_region(int rank, int width) {
  static std::mutex mutex;
  static auto* regions = new std::unordered_map<int, std::unique_ptr<CompiledRegion>>;
  const std::lock_guard lock(mutex);
  auto& region = (*regions)[rank * 16 + width];
  if (!region) region = make_copy(rank, width);
  return *region;
}

}  // namespace

DeviceBackend* device_backend() { return static_cast<DeviceBackend*>(memory::device_memory()); }

void start_devices() {
  memory::set_device_loader([](std::string& why_not) -> memory::DeviceMemory* {
    if (DeviceBackend* simulated = simulated_backend()) return simulated;
    DeviceBackend* backend = plait::device_backend();
    if (!backend) why_not = why_no_device();
    return backend;
  });
}

memory::Queue queue_of(Place place) {
  Queues& all = queues();
  const std::lock_guard lock(all.mutex);
  const auto found = all.of.find(place);
  if (found != all.of.end()) return found->second;
  const memory::Queue queue = device_backend()->open_queue(device_of_stream(place).index);
  all.of.emplace(place, queue);
  return queue;
}

std::unique_ptr<CompiledRegion> compile_region_for(Place place, RegionProgram program) {
  return place == kCpu ? compile_region_cpu(std::move(program)) : device_backend()->compile_region(std::move(program));
}

void copy_strided_on(memory::Queue queue, void* to, const void* from, const Strides& strides,
                     std::span<const int64_t> extents, int width) {
  RegionBinding binding;
  binding.extents.assign(extents.begin(), extents.end());
  binding.inputs.resize(1);
  binding.inputs[0].data = const_cast<void*>(from);
  binding.inputs[0].strides.assign(strides.begin(), strides.end());
  binding.outputs.resize(1);
  binding.outputs[0].data = to;
  binding.outputs[0].strides.assign(extents.size(), 0);
  int64_t step = 1;
  for (size_t i = extents.size(); i-- > 0; step *= extents[i]) binding.outputs[0].strides[i] = step;
  binding.queue = queue;
  copy_region(static_cast<int>(extents.size()), width).run(binding);
}

Fallback set_fallback(Fallback fallback) noexcept { return the_fallback.exchange(fallback); }
Fallback fallback() noexcept { return the_fallback.load(std::memory_order_relaxed); }

void note_fallback(const std::string& op, const std::string& where) {
  static trace::Counter counter("ran on the CPU for want of a kernel");
  counter.add();
  const Fallback now = fallback();
  if (now == Fallback::silent) return;
  if (now == Fallback::error)
    throw DeviceError({.op = op,
                       .got = "an operation on a device that has no kernel for it, or not for these operands",
                       .accepts = "operations that the coverage table lists for the device",
                       .hint = "give it stream=cpu, or allow that it runs there: transfers.fallback('log')",
                       .where = where});
  static std::mutex mutex;
  static auto* said = new std::unordered_set<std::string>;
  const std::lock_guard lock(mutex);
  if (said->insert(op).second)
    std::fprintf(stderr, "plait: %s has no kernel on the device and runs on the CPU%s%s (said once)\n", op.c_str(),
                 where.empty() ? "" : ", at ", where.c_str());
}

void finish(Stream stream) {
  if (stream.device.type == DeviceType::cpu) return;
  DeviceBackend& backend = *device_backend();
  backend.finish(backend.mark(queue_of(stream.index)));
}

}  // namespace plait::engine

namespace plait {
namespace {

std::atomic<bool>& looks_at_positions() {
  static std::atomic<bool> on{[] {
    const char* value = std::getenv("PLAIT_CHECK_POSITIONS");
    return !value || std::string_view(value) != "0";
  }()};
  return on;
}

}  // namespace

bool debug::position_check() { return looks_at_positions(); }
bool debug::set_position_check(bool on) { return looks_at_positions().exchange(on); }

}  // namespace plait
