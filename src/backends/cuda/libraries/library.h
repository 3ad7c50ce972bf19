// NVIDIA's libraries, opened when first needed: none is a dependency of libplait_cuda, so that a machine without them
// still has what does not use them.
#pragma once

#include <string>

#include "plait/error.h"

namespace plait {

struct LibraryName {
  const char* file;     // with the version that is wanted: "libcublasLt.so.13"
  const char* package;  // what brings it: "nvidia-cublas"
};
inline constexpr LibraryName kCublasLt{"libcublasLt.so.13", "nvidia-cublas"};
inline constexpr LibraryName kCublas{"libcublas.so.13", "nvidia-cublas"};
inline constexpr LibraryName kCusolver{"libcusolver.so.12", "nvidia-cusolver"};
inline constexpr LibraryName kCudnn{"libcudnn.so.9", "nvidia-cudnn-cu13"};
inline constexpr LibraryName kCufft{"libcufft.so.12", "nvidia-cufft"};
inline constexpr LibraryName kNvrtc{"libnvrtc.so.13", "nvidia-cuda-nvrtc"};

/// An open library; it stays open for good.
///
/// Threads: any. Errors: DeviceError with the version wanted, those found, where was looked, and what to install.
class Library {
 public:
  /// Looks among what is loaded and on the system's path, then in the directories of PLAIT_CUDA_LIBRARY_PATH (separated
  /// by colons), then in /usr/local/cuda/lib64.
  explicit Library(LibraryName name);

  /// The function of that name.
  template <class Fn>
  Fn* function(const char* symbol) const {
    return reinterpret_cast<Fn*>(address(symbol));
  }

  /// As dlopen gave it.
  void* handle() const { return handle_; }
  const LibraryName& name() const { return name_; }
  /// The file it was opened from.
  const std::string& path() const { return path_; }

 private:
  void* address(const char* symbol) const;

  LibraryName name_;
  void* handle_ = nullptr;
  std::string path_;
};

/// What the libraries lack that plait opens when needed, each with what to install; empty when none does. It looks for the files
/// and opens only what the system's loader alone can find: opening them all would cost a start more than anything else.
std::string missing_libraries();

/// Errors: DeviceError when the library was made for another major version of CUDA than plait was; the file's name does not always tell.
/// `cudart` is what the library says, as 1000 times the version.
void check_made_for_cuda(const LibraryName& name, const std::string& path, size_t cudart);

/// For a library that opened but will not do: a version that is too old, an initialisation that failed.
DeviceError library_error(const LibraryName& name, std::string got, std::string accepts = {});

}  // namespace plait
