// Kernels that users write for CUDA, where there is none.
#include "backends/kernel.h"
#include "plait/error.h"

namespace plait {
namespace {

[[noreturn]] void refuse(const KernelArgs& args) {
  throw DeviceError({.op = std::string(args.op) + " '" + args.attrs.get<std::string>("name") + "'",
                     .got = "a device that is no NVIDIA GPU",
                     .accepts = "an NVIDIA GPU, and plait's CUDA backend",
                     .hint = "fast.cpu_kernel compiles C++ for the CPU"});
}

}  // namespace

void register_reference_kernels_cuda_kernel(KernelTable& table) {
  table.add("cuda_kernel", Backend::reference, {.run = refuse, .contiguous_inputs = false});
  table.add("precompiled_cuda_kernel", Backend::reference, {.run = refuse, .contiguous_inputs = false});
}

}  // namespace plait
