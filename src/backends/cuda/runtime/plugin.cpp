// The library's entry, and what the other parts of the backend call.
#include <cuda_runtime_api.h>

#include <cstdio>
#include <cstdlib>
#include <string>
#include <utility>
#include <vector>

#include "backends/cuda/libraries/background.h"
#include "backends/cuda/libraries/library.h"
#include "backends/cuda/runtime/cuda.h"
#include "backends/cuda/runtime/cuda_backend.h"
#include "backends/cuda/runtime/errors.h"
#include "backends/cuda/runtime/recording.h"
#include "plait/error.h"

namespace plait {
namespace {

std::string version(int number) { return std::to_string(number / 1000) + "." + std::to_string(number % 1000 / 10); }

// Fills in the devices and returns an empty text, or says why there are none.
std::string find_devices(std::vector<DeviceInfo>& devices) {
  int driver = 0;
  if (cudaDriverGetVersion(&driver) != cudaSuccess) driver = 0;
  if (driver == 0) return "no NVIDIA driver: libcuda.so.1 was not found";
  if (driver / 1000 < CUDART_VERSION / 1000)
    return "the NVIDIA driver is too old: it offers CUDA " + version(driver) + ", and " + version(CUDART_VERSION) +
           " is needed; update the driver";
  int count = 0;
  const cudaError_t error = cudaGetDeviceCount(&count);
  if (error != cudaSuccess || count == 0) {
    const char* const visible = std::getenv("CUDA_VISIBLE_DEVICES");
    return std::string("the NVIDIA driver gives no GPU: ") +
           (error == cudaSuccess ? "it counts 0" : cudaGetErrorString(error)) +
           (visible ? std::string(" (CUDA_VISIBLE_DEVICES=") + visible + ")" : "");
  }
  for (int i = 0; i < count; ++i) {
    cudaDeviceProp properties;
    if (const cudaError_t failed = cudaGetDeviceProperties(&properties, i); failed != cudaSuccess)
      return "GPU " + std::to_string(i) + " does not answer: " + cudaGetErrorString(failed);
    const int architecture = 10 * properties.major + properties.minor;
    if (architecture < PLAIT_CUDA_LOWEST)
      return std::string(properties.name) + " is of architecture sm_" + std::to_string(architecture) +
             ", older than sm_" + std::to_string(PLAIT_CUDA_LOWEST) +
             ", which plait_cuda was built for; CUDA_VISIBLE_DEVICES can hide it";
    devices.push_back({.name = properties.name,
                       .architecture = "sm_" + std::to_string(architecture),
                       .memory_bytes = static_cast<int64_t>(properties.totalGlobalMem)});
  }
  return {};
}

CudaBackend& backend() {
  std::string why_not;
  if (CudaBackend* found = CudaBackend::instance(why_not)) return *found;
  throw DeviceError({.op = "cuda", .got = std::move(why_not)});
}

}  // namespace

CudaBackend* CudaBackend::instance(std::string& why_not) {
  struct Made {
    CudaBackend* backend = nullptr;
    std::string why_not;
  };
  static const Made* const made = [] {
    std::vector<DeviceInfo> devices;
    auto* const result = new Made{nullptr, find_devices(devices)};
    if (result->why_not.empty()) {
      watch_forks();
      if (const std::string missing = missing_libraries(); !missing.empty())
        std::fprintf(stderr,
                     "plait: of NVIDIA's libraries these were not found, what needs them will fail or be slower: %s\n",
                     missing.c_str());
      result->backend = new CudaBackend(std::move(devices));
    }
    return result;
  }();
  why_not = made->why_not;
  return made->backend;
}

cudaStream_t stream_of(memory::Queue queue) {
  const Recorder* const recorder = recorder_of(queue);
  return recorder ? recorder->stream : backend().at(queue).stream_for_use();
}
int device_of(memory::Queue queue) { return backend().at(queue).device(); }
memory::DeviceMemory& cuda_memory() { return backend(); }

}  // namespace plait

extern "C" PLAIT_API plait::DeviceBackend* plait_device_backend(std::string& why_not) {
  plait::cuda::end_background_with_process();  // most often this is the main thread
  return plait::CudaBackend::instance(why_not);
}
