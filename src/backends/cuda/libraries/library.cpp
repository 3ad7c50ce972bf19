#include "backends/cuda/libraries/library.h"

#include <cuda_runtime_api.h>
#include <dlfcn.h>
#include <link.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <system_error>
#include <utility>
#include <vector>

namespace plait {
namespace {

namespace fs = std::filesystem;

std::vector<std::string> directories() {
  std::vector<std::string> found;
  if (const char* listed = std::getenv("PLAIT_CUDA_LIBRARY_PATH")) {
    const std::string all = listed;
    for (size_t at = 0; at <= all.size();) {
      const size_t end = std::min(all.find(':', at), all.size());
      if (end > at) found.push_back(all.substr(at, end - at));
      at = end + 1;
    }
  }
  found.emplace_back("/usr/local/cuda/lib64");
  return found;
}

// Files of a directory whose names begin so.
std::vector<fs::path> files_like(const std::string& directory, const std::string& beginning) {
  std::vector<fs::path> found;
  std::error_code error;
  for (fs::directory_iterator at(directory, error), end; !error && at != end; at.increment(error))
    if (at->path().filename().string().starts_with(beginning)) found.push_back(at->path());
  std::sort(found.begin(), found.end());
  return found;
}

void* open_in(const std::string& directory, const LibraryName& name) {
  const fs::path file = fs::path(directory) / name.file;
  std::error_code error;
  if (!fs::exists(file, error)) return nullptr;
  // NVRTC asks for this one by its bare name only when it compiles; once open it is found anywhere.
  if (std::string_view(name.file).starts_with("libnvrtc"))
    for (const fs::path& builtins : files_like(directory, "libnvrtc-builtins.so."))
      ::dlopen(builtins.c_str(), RTLD_LAZY | RTLD_LOCAL);
  return ::dlopen(file.c_str(), RTLD_LAZY | RTLD_LOCAL);
}

std::string path_of(void* handle) {
  link_map* map = nullptr;
  return ::dlinfo(handle, RTLD_DI_LINKMAP, &map) == 0 && map ? map->l_name : "";
}

}  // namespace

DeviceError library_error(const LibraryName& name, std::string got, std::string accepts) {
  return DeviceError({.op = name.file,
                      .got = std::move(got),
                      .accepts = std::move(accepts),
                      .hint = "pip install " + std::string(name.package) +
                              ", or name the library's directory in PLAIT_CUDA_LIBRARY_PATH"});
}

std::string missing_libraries() {
  std::string missing;
  for (const LibraryName& name : {kCublasLt, kCublas, kCusolver, kCudnn, kCufft, kNvrtc}) {
    std::error_code error;
    bool found = false;
    for (const std::string& directory : directories())
      found = found || fs::exists(fs::path(directory) / name.file, error);
    if (found) continue;
    if (void* const handle = ::dlopen(name.file, RTLD_LAZY | RTLD_LOCAL)) {
      ::dlclose(handle);
      continue;
    }
    missing += (missing.empty() ? "" : ", ") + std::string(name.file) + " (pip install " + name.package + ")";
  }
  return missing;
}

void check_made_for_cuda(const LibraryName& name, const std::string& path, size_t cudart) {
  constexpr size_t kMajor = CUDART_VERSION / 1000;
  if (cudart / 1000 == kMajor) return;
  throw library_error(name, path + " was made for CUDA " + std::to_string(cudart / 1000),
                      "one for CUDA " + std::to_string(kMajor));
}

Library::Library(LibraryName name) : name_(name) {
  handle_ = ::dlopen(name.file, RTLD_LAZY | RTLD_LOCAL);
  std::string why = handle_ ? "" : ::dlerror();
  for (const std::string& directory : directories()) {
    if (handle_) break;
    handle_ = open_in(directory, name);
    if (const char* error = handle_ ? nullptr : ::dlerror()) why = error;  // a file that is there but does not open
  }
  if (handle_) {
    path_ = path_of(handle_);
    return;
  }

  std::string others;
  const std::string file = name.file, bare = file.substr(0, file.find(".so") + 4);  // "libcublasLt.so."
  for (const std::string& directory : directories())
    for (const fs::path& other : files_like(directory, bare)) others += (others.empty() ? "" : ", ") + other.string();
  throw library_error(
      name,
      "it can't be opened (" + why + ")" + (others.empty() ? ", and no other version was found" : "; found: " + others),
      file + (directories().size() > 1 ? "" : " (PLAIT_CUDA_LIBRARY_PATH is not set)"));
}

void* Library::address(const char* symbol) const {
  if (void* found = ::dlsym(handle_, symbol)) return found;
  throw library_error(name_, path_ + " has no " + symbol + ": it is older than what plait was built for");
}

}  // namespace plait
