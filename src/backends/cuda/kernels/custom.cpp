// Kernels that users write: compiled by NVRTC when they are first run, or handed over as machine code.
#include <algorithm>
#include <map>
#include <memory>
#include <mutex>
#include <vector>

#include "backends/cuda/kernels/create.h"
#include "backends/cuda/kernels/image.h"
#include "backends/cuda/kernels/launch.h"
#include "backends/cuda/kernels/tables.h"
#include "backends/cuda/regions/module.h"
#include "backends/custom_kernel.h"
#include "base/hash.h"
#include "plait/error.h"

namespace plait::cuda {
namespace {

std::string what_of(const KernelArgs& args) {
  return std::string(args.op) + " '" + args.attrs.get<std::string>("name") + "'";
}

int attribute_of(int device, cudaDeviceAttr attribute) {
  int value = 0;
  check_cuda(cudaDeviceGetAttribute(&value, attribute, device), "what the device allows");
  return value;
}

[[noreturn]] void reject(const KernelArgs& args, std::string got, std::string accepts) {
  throw ArgumentError({.op = what_of(args), .got = std::move(got), .accepts = std::move(accepts)});
}

struct Launch {
  dim3 blocks, threads;
  uint64_t grid[3] = {};  // in threads
  bool empty = false;
};

/// Blocks are no larger than the grid; the last of an axis may stand out of it.
Launch launch_of(const KernelArgs& args, int device) {
  const auto given = args.attrs.get<std::vector<int64_t>>("launch");
  constexpr cudaDeviceAttr kMostThreads[] = {cudaDevAttrMaxBlockDimX, cudaDevAttrMaxBlockDimY, cudaDevAttrMaxBlockDimZ};
  constexpr cudaDeviceAttr kMostBlocks[] = {cudaDevAttrMaxGridDimX, cudaDevAttrMaxGridDimY, cudaDevAttrMaxGridDimZ};
  Launch launch;
  unsigned* const blocks[] = {&launch.blocks.x, &launch.blocks.y, &launch.blocks.z};
  unsigned* const threads[] = {&launch.threads.x, &launch.threads.y, &launch.threads.z};
  int64_t together = 1;
  launch.empty = std::find(given.begin(), given.begin() + 3, 0) != given.begin() + 3;
  if (launch.empty) return launch;
  for (size_t i = 0; i < 3; ++i) {
    launch.grid[i] = static_cast<uint64_t>(given[i]);
    const int64_t wide = std::min(given[i + 3], given[i]), count = (given[i] - 1) / wide + 1;
    if (wide > attribute_of(device, kMostThreads[i]))
      reject(args, "a threadgroup of " + std::to_string(wide) + " threads along axis " + std::to_string(i),
             "up to " + std::to_string(attribute_of(device, kMostThreads[i])));
    if (count > attribute_of(device, kMostBlocks[i]))
      reject(args, "a grid of " + std::to_string(count) + " threadgroups along axis " + std::to_string(i),
             "up to " + std::to_string(attribute_of(device, kMostBlocks[i])));
    *threads[i] = static_cast<unsigned>(wide);
    *blocks[i] = static_cast<unsigned>(count);
    together *= wide;
  }
  if (together > attribute_of(device, cudaDevAttrMaxThreadsPerBlock))
    reject(args, "a threadgroup of " + std::to_string(together) + " threads",
           "up to " + std::to_string(attribute_of(device, cudaDevAttrMaxThreadsPerBlock)));
  return launch;
}

/// Values that live until the launch, and where each lies.
class Parameters {
 public:
  void add(std::vector<int64_t> words) { words_.push_back(std::make_unique<std::vector<int64_t>>(std::move(words))); }
  void add(const void* address) {
    add(std::vector<int64_t>{static_cast<int64_t>(reinterpret_cast<uintptr_t>(address))});
  }
  size_t count() const { return words_.size(); }
  std::vector<void*> addresses() const {
    std::vector<void*> out;
    for (const auto& words : words_) out.push_back(words->data());
    return out;
  }

 private:
  std::vector<std::unique_ptr<std::vector<int64_t>>> words_;
};

/// Lets a kernel have all the dynamic shared memory that the device has beside its static one, where this call needs more than is
/// there without asking. It stays so: another thread, or a recording, may launch the same kernel with another amount.
void allow_shared_memory(const KernelArgs& args, cudaKernel_t kernel, int device, int64_t bytes) {
  constexpr int64_t kWithoutAsking = 48 << 10;
  cudaFuncAttributes about{};
  if (bytes > 0)
    check_cuda(cudaFuncGetAttributes(&about, reinterpret_cast<const void*>(kernel)), what_of(args).c_str());
  const auto fixed = static_cast<int64_t>(about.sharedSizeBytes);
  const int64_t most = attribute_of(device, cudaDevAttrMaxSharedMemoryPerBlockOptin) - fixed;
  if (bytes > most)
    reject(args, std::to_string(bytes) + " bytes of shared memory",
           "up to " + std::to_string(most) + ", beside " + std::to_string(fixed) + " that the kernel has by itself");
  if (bytes + fixed > kWithoutAsking)
    check_cuda(cudaKernelSetAttributeForDevice(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize,
                                               static_cast<int>(most), device),
               what_of(args).c_str());
}

void enqueue(const KernelArgs& args, const Work& work, cudaKernel_t kernel, const Launch& launch,
             const Parameters& parameters) {
  const std::string what = what_of(args);
  const auto shared = args.attrs.get<int64_t>("shared_memory");
  allow_shared_memory(args, kernel, device_of(args.queue), shared);
  if (args.attrs.get<bool>("initialized"))
    for (const TensorView& out : args.outputs) fill(work, out, args.attrs.get<Scalar>("init_value"));
  if (launch.empty) return;
  std::vector<void*> addresses = parameters.addresses();
  check_cuda(cudaLaunchKernel(reinterpret_cast<const void*>(kernel), launch.blocks, launch.threads, addresses.data(),
                              static_cast<size_t>(shared), work.stream()),
             what.c_str());
}

/// A Layout of the text: shape and strides, with room for one axis where there is none.
std::vector<int64_t> layout_of(const TensorView& t) {
  std::vector<int64_t> words(t.shape.begin(), t.shape.end());
  words.resize(std::max<size_t>(1, t.shape.size()));
  words.insert(words.end(), t.strides.begin(), t.strides.end());
  words.resize(2 * std::max<size_t>(1, t.shape.size()));
  return words;
}

void run_source(const KernelArgs& args) {
  const int device = device_of(args.queue);
  const Work work(args);
  const Launch launch = launch_of(args, device);
  const Source source{
      args.attrs.get<std::string>("text"), {custom_symbol(args.attrs.get<std::string>("name"))}, what_of(args)};
  const Module* const module = module_of(source, capability_of(device), Wait::yes);
  const auto described = args.attrs.get<std::vector<int64_t>>("described");
  Parameters parameters;
  for (size_t i = 0; i < args.inputs.size(); ++i) {
    parameters.add(args.inputs[i].data);
    if (described[i]) parameters.add(layout_of(args.inputs[i]));
  }
  for (const TensorView& out : args.outputs) parameters.add(out.data);
  parameters.add(std::vector<int64_t>(std::begin(launch.grid), std::end(launch.grid)));
  enqueue(args, work, module->kernels[0], launch, parameters);
}

/// Loaded once for each image, kept for good.
cudaLibrary_t library_of(const KernelArgs& args) {
  static std::mutex mutex;
  static auto* const libraries = new std::map<Key128, cudaLibrary_t>;
  const auto image = args.attrs.get<std::string>("text");
  const Key128 key = Hasher().add(image).key();
  const std::lock_guard lock(mutex);
  cudaLibrary_t& library = (*libraries)[key];
  if (const char* const missing = library ? nullptr : missing_part(image))
    throw DeviceError({.op = what_of(args),
                       .got = "code of " + std::to_string(image.size()) + " bytes without " + missing,
                       .accepts = "PTX, cubin or fatbin as a whole"});
  if (!library)
    check_cuda(cudaLibraryLoadData(&library, image.c_str(), nullptr, nullptr, 0, nullptr, nullptr, 0),
               what_of(args).c_str());
  return library;
}

/// Of a function that takes other parameters than it is given the driver would read what is not there.
void check_parameters(const KernelArgs& args, cudaKernel_t kernel, size_t given) {
  size_t count = 0, offset = 0, bytes = 0;
  const auto* const function = reinterpret_cast<const void*>(kernel);
  while (count <= given && cudaFuncGetParamInfo(function, count, &offset, &bytes) == cudaSuccess) {
    if (bytes > sizeof(int64_t))
      reject(args, "a function whose parameter " + std::to_string(count) + " has " + std::to_string(bytes) + " bytes",
             "pointers, and numbers of up to 8 bytes");
    ++count;
  }
  cudaGetLastError();  // it says that there are no more
  if (count > 0 && count != given)
    reject(args,
           count > given ? "a function of more than " + std::to_string(given) + " parameters"
                         : "a function of " + std::to_string(count) + " parameters",
           std::to_string(given) + ", one for each input, output and scalar");
}

void run_precompiled(const KernelArgs& args) {
  const int device = device_of(args.queue);
  const Work work(args);
  const Launch launch = launch_of(args, device);
  cudaKernel_t kernel = nullptr;
  check_cuda(cudaLibraryGetKernel(&kernel, library_of(args), args.attrs.get<std::string>("name").c_str()),
             what_of(args).c_str());
  Parameters parameters;
  for (const TensorView& in : args.inputs) parameters.add(in.data);
  for (const TensorView& out : args.outputs) parameters.add(out.data);
  for (const int64_t bits : args.attrs.get<std::vector<int64_t>>("scalars"))  // little-endian: the low bytes
    parameters.add(std::vector<int64_t>{bits});
  check_parameters(args, kernel, parameters.count());
  enqueue(args, work, kernel, launch, parameters);
}

}  // namespace

void add_custom_kernels(Table& table) {
  table.push_back({"cuda_kernel", {.run = run_source, .contiguous_inputs = false}});
  table.push_back({"precompiled_cuda_kernel", {.run = run_precompiled, .contiguous_inputs = false}});
}

}  // namespace plait::cuda
