#include "memory/device.h"

#include <algorithm>
#include <atomic>
#include <mutex>

#include "memory/allocator.h"

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

OutOfMemory out_of_device_memory(int64_t asked, const DeviceMemory::Stats& stats, int64_t unused) {
  const int64_t room = std::max<int64_t>(0, stats.limit - stats.active);
  const bool over = asked > room;
  return OutOfMemory({.op = "out of memory on a device",
                      .got = std::to_string(asked) + " bytes (" + in_words(asked) + ") asked, more than " +
                             (over ? "the memory limit allows" : "the device has left") + "; arrays hold " +
                             in_words(stats.active) + ", " + in_words(stats.cached) +
                             " are kept for reuse, all processes leave " + in_words(unused) + " of " +
                             in_words(stats.total),
                      .accepts = over ? "up to " + in_words(room) + " more (limit " + in_words(stats.limit) + ")"
                                      : "what fits into the " + in_words(unused) + " that are free",
                      .hint = over ? "use smaller batches, or raise the limit by set_memory_limit"
                                   : "use smaller batches, or free arrays that are no longer needed"});
}

DeviceMemory* device_memory() { return found().devices; }
const std::string& why_no_devices() { return found().why_not; }
void set_device_loader(DeviceMemory* (*load)(std::string& why_not)) noexcept { loader.store(load); }

}  // namespace plait::memory
