#include "backends/cuda/regions/build.h"

#include <nvrtc.h>

#include <algorithm>
#include <exception>
#include <filesystem>
#include <mutex>
#include <thread>

#include "backends/cuda/libraries/background.h"
#include "backends/cuda/libraries/library.h"
#include "backends/custom_kernel.h"
#include "backends/disk_cache.h"
#include "base/hash.h"
#include "base/interrupt.h"
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

namespace {

/// The directory of the toolkit's headers, beside the library of NVRTC or where the toolkit is installed; "" where there is none.
std::string toolkit_headers() {
  namespace fs = std::filesystem;
  const fs::path beside = fs::path(nvrtc().library.path()).parent_path().parent_path() / "include";
  for (const fs::path& directory : {beside, fs::path("/usr/local/cuda/include")}) {
    std::error_code error;
    if (fs::exists(directory / "cuda_fp16.h", error)) return directory.string();
  }
  return "";
}

/// What a text is compiled with, beside the architecture.
std::vector<std::string> options_for(const Source& source) {
  if (source.user.empty()) return {"--std=c++20", "--fmad=false", "--device-as-default-execution-space"};
  std::vector<std::string> options{"--std=c++20"};
  if (const std::string headers = toolkit_headers(); !headers.empty()) {
    options.push_back("--include-path=" + headers);
    options.push_back("--include-path=" + headers + "/cccl");
  }
  return options;
}

struct Headers {
  std::vector<const char*> names, texts;
};
Headers headers_for(const Source& source) {
  Headers headers;
  if (!source.user.empty()) return headers;
  for (const Header& header : device_headers()) {
    headers.names.push_back(header.name);
    headers.texts.push_back(header.text);
  }
  for (const char* name : kStandardHeaders) {
    headers.names.push_back(name);
    headers.texts.push_back(kStandardText);
  }
  return headers;
}

[[noreturn]] void raise_rejected(const Source& source, const std::string& architecture, nvrtcProgram program) {
  size_t size = 0;
  nvrtc().log_size(program, &size);
  std::string log(size, '\0');
  nvrtc().log(program, log.data());
  while (!log.empty() && (log.back() == '\0' || log.back() == '\n')) log.pop_back();
  if (source.user.empty())
    throw InternalError("CUDA region: NVRTC rejects the generated source for " + architecture + ":\n" + log);
  throw ArgumentError(
      {.op = source.user,
       .got = "source that NVRTC rejects for " + architecture + ":\n" + log,
       .accepts = "a body in CUDA C++20",
       .hint = toolkit_headers().empty()
                   ? "the toolkit's headers were not found: pip install nvidia-cuda-runtime nvidia-cuda-cccl"
                   : ""});
}

/// What ends a compilation early: the end of the process, or an interrupt of the thread that waits for a user's kernel.
class Flow {
 public:
  explicit Flow(bool awaited) : awaited_(awaited) {}
  int stops() noexcept {
    const std::lock_guard lock(mutex_);
    if (!stop_ && awaited_ && std::this_thread::get_id() == caller_) try {
        poll_interrupt();
      } catch (...) {
        stop_ = std::current_exception();
      }
    return stop_ || process_ends() ? 1 : 0;
  }
  /// Errors: Interrupted; what the hook of interrupts throws.
  void check(const std::string& what) const {
    if (stop_) std::rethrow_exception(stop_);
    if (process_ends()) throw Interrupted({.op = what, .got = "the end of the process while its code was compiled"});
  }

 private:
  const bool awaited_;
  const std::thread::id caller_ = std::this_thread::get_id();
  std::mutex mutex_;
  std::exception_ptr stop_;
};

}  // namespace

std::string compile(const Source& source, int capability) {
  const std::string what = source.user.empty() ? "CUDA region" : source.user;
  const Headers headers = headers_for(source);
  nvrtcProgram program = nullptr;
  if (nvrtc().create(&program, source.text.c_str(), source.user.empty() ? "region.cu" : "kernel.cu",
                     static_cast<int>(headers.names.size()), headers.texts.data(),
                     headers.names.data()) != NVRTC_SUCCESS)
    throw InternalError(what + ": NVRTC makes no program");
  struct Destroy {
    nvrtcProgram* program;
    ~Destroy() { nvrtc().destroy(program); }
  } destroy{&program};

  const int best = architecture_for(capability);
  // Code for another chip of the same generation runs; for a later generation the driver has to finish the compilation.
  const bool machine_code = best / 10 == capability / 10;
  const std::string architecture =
      (machine_code ? "--gpu-architecture=sm_" : "--gpu-architecture=compute_") + std::to_string(best);
  const std::vector<std::string> wanted = options_for(source);
  std::vector<const char*> options{architecture.c_str()};
  for (const std::string& option : wanted) options.push_back(option.c_str());
  Flow flow(!source.user.empty());
  nvrtc().set_flow_callback(program, [](void* data, void*) { return static_cast<Flow*>(data)->stops(); }, &flow);
  const nvrtcResult result = nvrtc().compile(program, static_cast<int>(options.size()), options.data());
  flow.check(what);
  if (result != NVRTC_SUCCESS) raise_rejected(source, architecture, program);
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
  const Headers headers = headers_for(source);
  for (size_t i = 0; i < headers.names.size(); ++i) hasher.add(headers.names[i]).add(headers.texts[i]);
  for (const std::string& option : options_for(source)) hasher.add(option);
  const Key128 key = hasher.key();
  const bool kept = source.user.empty() || !includes_files(source.text);  // generated code includes what `headers` has
  if (kept)
    if (auto image = cached_image("cuda", key)) return *std::move(image);
  std::string image = compile(source, capability);
  if (kept) cache_image("cuda", key, image);
  return image;
}

}  // namespace plait::cuda
