#include "memory/device.h"

#include <atomic>
#include <mutex>

namespace plait::memory {
namespace {

constinit std::atomic<DeviceMemory* (*)(std::string&)> loader{nullptr};

struct Found {
  DeviceMemory* devices = nullptr;
  std::string why_not = "nothing looks for devices";
};

const Found& found() {
  static const Found* const result = [] {
    auto* made = new Found;
    if (const auto load = loader.load()) made->devices = load(made->why_not);
    return made;
  }();
  return *result;
}

}  // namespace

DeviceMemory* device_memory() { return found().devices; }
const std::string& why_no_devices() { return found().why_not; }
void set_device_loader(DeviceMemory* (*load)(std::string& why_not)) noexcept { loader.store(load); }

}  // namespace plait::memory
