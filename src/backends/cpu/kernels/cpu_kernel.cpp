// Kernels that users write in C++.
#include <algorithm>
#include <cstring>
#include <vector>

#include "backends/cpu/compiler.h"
#include "backends/custom_kernel.h"
#include "backends/kernel.h"
#include "base/parallel.h"
#include "plait/error.h"
#include "plait/scalar.h"

namespace plait {
namespace {

void fill(const TensorView& out, const Scalar& value) {
  const uint64_t bits = ScalarBits::of(value, out.dtype).bits;
  const auto width = static_cast<int64_t>(size_of(out.dtype));
  parallel_for(out.count(), 1 << 15, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i)
      std::memcpy(out.as<char>() + i * width, &bits, static_cast<size_t>(width));  // little-endian: the low bytes
  });
}

void run(const KernelArgs& args) {
  const auto name = args.attrs.get<std::string>("name");
  const std::string what = "cpu_kernel '" + name + "'";
  const auto function = reinterpret_cast<CustomCpuFunction>(
      cpu::compiled_function(what, args.attrs.get<std::string>("text"), custom_symbol(name)));
  if (args.attrs.get<bool>("initialized"))
    for (const TensorView& out : args.outputs) fill(out, args.attrs.get<Scalar>("init_value"));

  std::vector<const void*> inputs;
  std::vector<void*> outputs;
  std::vector<const int64_t*> shapes, strides;
  for (const TensorView& in : args.inputs) {
    inputs.push_back(in.data);
    shapes.push_back(in.shape.data());
    strides.push_back(in.strides.data());
  }
  for (const TensorView& out : args.outputs) outputs.push_back(out.data);

  const auto launch = args.attrs.get<std::vector<int64_t>>("launch");
  if (std::find(launch.begin(), launch.begin() + 3, 0) != launch.begin() + 3) return;  // no threads
  Extents3 grid, group;
  int64_t groups = 1;
  for (size_t i = 0; i < 3; ++i) {
    grid[i] = launch[i];
    group[i] = std::min(launch[i + 3], launch[i]);
    groups *= (grid[i] - 1) / group[i] + 1;
  }
  constexpr int64_t kThreadsAtOnce = 4096;  // enough that handing them out costs nothing
  const int64_t grain = std::max<int64_t>(1, kThreadsAtOnce / (group[0] * group[1] * group[2]));
  parallel_for(groups, grain, [&](int64_t begin, int64_t end) {
    char error[512] = "";
    if (function(inputs.data(), outputs.data(), shapes.data(), strides.data(), grid, group, begin, end, error,
                 sizeof error))
      throw ArgumentError({.op = what,
                           .got = std::string("an exception in its body: ") + error,
                           .accepts = "a body that throws nothing for these inputs"});
  });
}

}  // namespace

void register_cpu_kernels_cpu_kernel(KernelTable& table) {
  table.add("cpu_kernel", Backend::cpu, {.run = run, .contiguous_inputs = false});
}

}  // namespace plait
