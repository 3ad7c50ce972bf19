#include "memory/device.h"

#include <atomic>
#include <mutex>

namespace plait::memory {
namespace {

constinit std::atomic<DeviceMemory* (*)()> loader{nullptr};

}  // namespace

DeviceMemory* device_memory() {
  static std::once_flag once;
  static DeviceMemory* devices = nullptr;
  std::call_once(once, [] {
    if (const auto load = loader.load()) devices = load();
  });
  return devices;
}

void set_device_loader(DeviceMemory* (*load)()) noexcept { loader.store(load); }

}  // namespace plait::memory
