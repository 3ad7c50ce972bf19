#include "backends/device_library.h"

#include <dlfcn.h>

#include <cstdlib>
#include <exception>
#include <filesystem>
#include <system_error>
#include <vector>

namespace plait {
namespace {

constexpr const char* kLibrary = "libplait_cuda.so";

struct Loaded {
  DeviceBackend* backend = nullptr;
  std::string why_not;
};

// Where to look, in order; a bare name is for the system's loader.
std::vector<std::string> candidates() {
  if (const char* named = std::getenv("PLAIT_DEVICE_LIBRARY")) {
    if (!*named) return {};
    return {named};
  }
  Dl_info self;
  if (::dladdr(reinterpret_cast<const void*>(&device_backend), &self) && self.dli_fname) {
    const std::filesystem::path beside = std::filesystem::path(self.dli_fname).parent_path() / kLibrary;
    std::error_code error;
    if (std::filesystem::exists(beside, error)) return {beside.string()};
  }
  return {kLibrary};
}

Loaded load() {
  Loaded loaded{nullptr, "PLAIT_DEVICE_LIBRARY is empty: no device is used"};
  for (const std::string& path : candidates()) {
    // Local: its symbols are its own. It stays open for good, as the process's queues and memory are its.
    void* const library = ::dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
    if (!library) {
      loaded.why_not = ::dlerror();
      continue;
    }
    const auto entry = reinterpret_cast<DeviceBackendEntry>(::dlsym(library, kDeviceBackendSymbol));
    if (!entry) {
      loaded.why_not = path + " has no " + kDeviceBackendSymbol;
      continue;
    }
    loaded.why_not.clear();
    try {
      loaded.backend = entry(loaded.why_not);
    } catch (const std::exception& error) {
      loaded.why_not = error.what();
    }
    if (loaded.backend) {
      loaded.why_not.clear();
    } else if (loaded.why_not.empty()) {
      loaded.why_not = path + " gives no device and no reason";
    }
    return loaded;
  }
  return loaded;
}

const Loaded& loaded() {
  static const Loaded* const once = new Loaded(load());  // leaked: threads may ask while the process ends
  return *once;
}

}  // namespace

DeviceBackend* device_backend() { return loaded().backend; }
const std::string& why_no_device() { return loaded().why_not; }

}  // namespace plait
