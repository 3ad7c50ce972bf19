#include "memory/device.h"
#include "plait/error.h"
#include "plait/memory.h"
#include "plait/stream.h"

namespace plait {
namespace {

/// Null for the host. Errors: DeviceError.
memory::DeviceMemory* memory_of(Device device) {
  default_stream(device);  // raises when the device is not there
  return device.type == DeviceType::cpu ? nullptr : memory::device_memory();
}

}  // namespace

MemoryStats memory_stats(Device device) {
  memory::DeviceMemory* devices = memory_of(device);
  if (!devices) return {active_memory(), peak_memory(), cache_memory(), memory_limit(), cache_limit()};
  const auto stats = devices->stats(device.index);
  return {stats.active, stats.peak, stats.cached, stats.limit, stats.cache_limit};
}

void reset_peak_memory(Device device) {
  if (memory::DeviceMemory* devices = memory_of(device))
    devices->reset_peak(device.index);
  else
    reset_peak_memory();
}

void clear_cache(Device device) {
  if (memory::DeviceMemory* devices = memory_of(device))
    devices->clear_cache(device.index);
  else
    clear_cache();
}

int64_t set_memory_limit(Device device, int64_t bytes) {
  memory::DeviceMemory* devices = memory_of(device);
  if (!devices) return set_memory_limit(bytes);
  const int64_t before = devices->stats(device.index).limit;
  devices->set_limit(device.index, bytes);
  return before;
}

int64_t set_cache_limit(Device device, int64_t bytes) {
  memory::DeviceMemory* devices = memory_of(device);
  if (!devices) return set_cache_limit(bytes);
  const int64_t before = devices->stats(device.index).cache_limit;
  devices->set_cache_limit(device.index, bytes);
  return before;
}

}  // namespace plait
