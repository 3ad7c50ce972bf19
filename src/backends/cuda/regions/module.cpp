#include "backends/cuda/regions/module.h"

#include <atomic>
#include <cstdio>
#include <map>
#include <mutex>
#include <string>

#include "backends/cuda/libraries/background.h"
#include "backends/cuda/regions/build.h"
#include "backends/cuda/runtime/cuda.h"
#include "base/hash.h"
#include "plait/error.h"

namespace plait::cuda {
namespace {

struct Entry {
  Source source;
  int capability = 0;
  std::mutex mutex;  // held while it is built
  std::atomic<bool> begun = false;
  std::atomic<int> asked = 0;  // how often
  std::atomic<const Module*> module = nullptr;
};

/// Leaked: background threads may use it until the process ends.
struct Registry {
  std::mutex mutex;
  std::map<Key128, std::unique_ptr<Entry>> entries;
};
Registry& registry() {
  static Registry* const all = new Registry;
  return *all;
}

void make(Entry& entry) {
  const std::lock_guard lock(entry.mutex);
  if (entry.module) return;
  const std::string image = build(entry.source, entry.capability);
  cudaLibrary_t library = nullptr;
  check_cuda(cudaLibraryLoadData(&library, image.data(), nullptr, nullptr, 0, nullptr, nullptr, 0),
             entry.source.user.empty() ? "load of a region's code" : entry.source.user.c_str());
  auto module = std::make_unique<Module>();
  try {
    for (const std::string& name : entry.source.kernels) {
      cudaKernel_t kernel = nullptr;
      check_cuda(cudaLibraryGetKernel(&kernel, library, name.c_str()), name.c_str());
      module->kernels.push_back(kernel);
    }
  } catch (...) {  // a user's macros can rename a kernel
    cudaLibraryUnload(library);
    throw;
  }
  entry.module = module.release();
}

void say_once(const std::string& what) {
  static std::atomic<bool> said = false;
  if (!said.exchange(true))
    std::fprintf(stderr, "plait: regions stay on the slower tier 0 of the GPU where no code could be built: %s\n",
                 what.c_str());
}

}  // namespace

int capability_of(int device) {
  int major = 0, minor = 0;
  check_cuda(cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, device), "compute capability");
  check_cuda(cudaDeviceGetAttribute(&minor, cudaDevAttrComputeCapabilityMinor, device), "compute capability");
  return 10 * major + minor;
}

const Module* module_of(const Source& source, int capability, Wait wait) {
  const Key128 key = Hasher().add(source.text).add(source.user.empty()).add(capability).key();
  Entry* entry;
  {
    const std::lock_guard lock(registry().mutex);
    auto& place = registry().entries[key];
    if (!place) {
      place = std::make_unique<Entry>();
      place->source = source;
      place->capability = capability;
    }
    entry = place.get();
  }
  ++entry->asked;
  if (wait == Wait::yes) {
    make(*entry);
  } else if (!entry->begun.exchange(true)) {
    const auto job = [entry] {
      try {
        make(*entry);
      } catch (const Interrupted&) {
        // The process ends.
      } catch (const std::exception& error) {
        say_once(error.what());
      }
    };
    if (!run_in_background(job, entry->asked)) entry->begun = false;  // a later run asks again
  }
  return entry->module;
}

}  // namespace plait::cuda
