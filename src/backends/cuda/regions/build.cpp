#include "backends/cuda/regions/build.h"

#include <nvrtc.h>

#include <algorithm>

#include "backends/cuda/libraries/background.h"
#include "backends/cuda/libraries/library.h"
#include "backends/cuda/regions/disk_cache.h"
#include "base/hash.h"
#include "plait/error.h"
#include "plait/version.h"

namespace plait::cuda {
namespace {

struct Nvrtc {
  Library library{kNvrtc};
  decltype(nvrtcVersion)* version = library.function<decltype(nvrtcVersion)>("nvrtcVersion");
  decltype(nvrtcGetNumSupportedArchs)* arch_count =
      library.function<decltype(nvrtcGetNumSupportedArchs)>("nvrtcGetNumSupportedArchs");
  decltype(nvrtcGetSupportedArchs)* archs =
      library.function<decltype(nvrtcGetSupportedArchs)>("nvrtcGetSupportedArchs");
  decltype(nvrtcCreateProgram)* create = library.function<decltype(nvrtcCreateProgram)>("nvrtcCreateProgram");
  decltype(nvrtcSetFlowCallback)* set_flow_callback =
      library.function<decltype(nvrtcSetFlowCallback)>("nvrtcSetFlowCallback");
  decltype(nvrtcCompileProgram)* compile = library.function<decltype(nvrtcCompileProgram)>("nvrtcCompileProgram");
  decltype(nvrtcDestroyProgram)* destroy = library.function<decltype(nvrtcDestroyProgram)>("nvrtcDestroyProgram");
  decltype(nvrtcGetProgramLogSize)* log_size =
      library.function<decltype(nvrtcGetProgramLogSize)>("nvrtcGetProgramLogSize");
  decltype(nvrtcGetProgramLog)* log = library.function<decltype(nvrtcGetProgramLog)>("nvrtcGetProgramLog");
  decltype(nvrtcGetCUBINSize)* cubin_size = library.function<decltype(nvrtcGetCUBINSize)>("nvrtcGetCUBINSize");
  decltype(nvrtcGetCUBIN)* cubin = library.function<decltype(nvrtcGetCUBIN)>("nvrtcGetCUBIN");
  decltype(nvrtcGetPTXSize)* ptx_size = library.function<decltype(nvrtcGetPTXSize)>("nvrtcGetPTXSize");
  decltype(nvrtcGetPTX)* ptx = library.function<decltype(nvrtcGetPTX)>("nvrtcGetPTX");
};
const Nvrtc& nvrtc() {
  static const Nvrtc* const opened = [] {
    const auto* const made = new Nvrtc;
    end_background_before_others();
    return made;
  }();
  return *opened;
}

/// What the CPU's headers include of the standard library; std_for_nvrtc.cuh has what they use of it.
constexpr const char* kStandardHeaders[] = {"cstdint", "type_traits", "utility"};
constexpr const char* kStandardText = "#include \"backends/cuda/regions/device/std_for_nvrtc.cuh\"\n";

/// The newest architecture that NVRTC knows and the GPU runs.
int architecture_for(int capability) {
  int count = 0, best = 0;
  nvrtc().arch_count(&count);
  std::vector<int> known(static_cast<size_t>(count));
  nvrtc().archs(known.data());
  for (int arch : known)
    if (arch <= capability && arch > best) best = arch;
  return best;
}

}  // namespace

std::string compile(const Source& source, int capability) {
  std::vector<const char*> names, texts;
  for (const Header& header : device_headers()) {
    names.push_back(header.name);
    texts.push_back(header.text);
  }
  for (const char* name : kStandardHeaders) {
    names.push_back(name);
    texts.push_back(kStandardText);
  }
  nvrtcProgram program = nullptr;
  if (nvrtc().create(&program, source.text.c_str(), "region.cu", static_cast<int>(names.size()), texts.data(),
                     names.data()) != NVRTC_SUCCESS)
    throw InternalError("CUDA region: NVRTC makes no program");
  struct Destroy {
    nvrtcProgram* program;
    ~Destroy() { nvrtc().destroy(program); }
  } destroy{&program};

  const int best = architecture_for(capability);
  // Code for another chip of the same generation runs; for a later generation the driver has to finish the compilation.
  const bool machine_code = best / 10 == capability / 10;
  const std::string architecture =
      (machine_code ? "--gpu-architecture=sm_" : "--gpu-architecture=compute_") + std::to_string(best);
  const char* const options[] = {architecture.c_str(), "--std=c++20", "--fmad=false",
                                 "--device-as-default-execution-space"};
  nvrtc().set_flow_callback(program, [](void*, void*) { return process_ends() ? 1 : 0; }, nullptr);
  const nvrtcResult result = nvrtc().compile(program, 4, options);
  if (process_ends())
    throw Interrupted({.op = "CUDA region", .got = "the end of the process while its code was compiled"});
  if (result != NVRTC_SUCCESS) {
    size_t size = 0;
    nvrtc().log_size(program, &size);
    std::string log(size, '\0');
    nvrtc().log(program, log.data());
    throw InternalError("CUDA region: NVRTC rejects the generated source for " + architecture + ":\n" + log);
  }
  size_t size = 0;
  (machine_code ? nvrtc().cubin_size : nvrtc().ptx_size)(program, &size);
  std::string image(size, '\0');
  (machine_code ? nvrtc().cubin : nvrtc().ptx)(program, image.data());
  return image;
}

std::string build(const Source& source, int capability) {
  int major = 0, minor = 0;
  nvrtc().version(&major, &minor);
  Hasher hasher;
  hasher.add(source.text).add(capability).add(major).add(minor).add(PLAIT_VERSION);
  for (const Header& header : device_headers()) hasher.add(header.name).add(header.text);
  const Key128 key = hasher.key();
  if (auto image = cached_image(key)) return *std::move(image);
  std::string image = compile(source, capability);
  cache_image(key, image);
  return image;
}

}  // namespace plait::cuda
