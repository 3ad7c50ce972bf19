#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "plait/array.h"

/// Kernels of your own, from source that is compiled when it is first run. docs/custom_kernels.md is the guide.
namespace plait::fast {

/// What a kernel is made of. The body sees each input and output by its name, as a pointer to its elements, and for an
/// input `x` also `x_shape`, `x_strides` (in elements) and `x_ndim`.
struct PLAIT_API KernelSource {
  std::string name;  // for messages and profilers
  std::vector<std::string> input_names = {}, output_names = {};
  std::string body = {};
  std::string header = {};  // stands before the function
  bool ensure_row_contiguous = true;  // inputs are copied where their elements do not lie in row-major order
  int64_t shared_memory = 0;  // of CUDA kernels: bytes of dynamic shared memory
};

/// A type or number that the body knows by a name.
using KernelValue = std::variant<bool, int64_t, DType>;

/// One call. The grid counts threads, not groups; what is behind its end is not run.
struct PLAIT_API KernelCall {
  Arrays inputs = {};
  std::vector<Shape> output_shapes = {};
  std::vector<DType> output_dtypes = {};
  std::array<Dim, 3> grid = {}, threadgroup = {};
  std::vector<std::pair<std::string, KernelValue>> values = {};
  std::optional<Scalar> init_value = std::nullopt;  // what outputs hold before; else anything
};

/// A kernel that can be called. Calls are lazy, and keyed on text and dtypes: a new shape compiles nothing.
///
/// Threads: any. Errors, of a call: ArgumentError for counts, names and extents that do not fit, DeviceError where the
/// kernel cannot run; when it is evaluated, ArgumentError with the compiler's log.
/// Transforms: `compile` keeps it; derivatives and batches need `custom_function`, which gives it rules of its own.
class PLAIT_API CustomKernel {
 public:
  Arrays operator()(const KernelCall& call) const;
  /// What a call compiles.
  std::string text(const KernelCall& call) const;

  struct Definition;
  explicit CustomKernel(std::shared_ptr<const Definition> definition) : definition_(std::move(definition)) {}

 private:
  std::shared_ptr<const Definition> definition_;
};

/// A kernel for the CPU: `source.body` is C++20, run for each thread of the grid, with thread_position_in_grid and so on.
///
/// It is compiled by PLAIT_CXX, or the first of c++, g++ and clang++ on the PATH. Groups run side by side on plait's threads,
/// the threads of a group one after another: there are no barriers.
PLAIT_API CustomKernel cpu_kernel(KernelSource source);

/// A kernel for NVIDIA GPUs: `source.body` is CUDA C++, compiled by NVRTC.
///
/// Errors: DeviceError where there is no CUDA backend.
PLAIT_API CustomKernel cuda_kernel(KernelSource source);

/// A kernel for NVIDIA GPUs from PTX or cubin that has a function `name`, whose parameters are pointers to the inputs, to
/// the outputs, and then `scalars`: bool as bool, integers as int or, where they need it, long long, floats as float.
///
/// Errors: as CustomKernel; DeviceError for code that the driver does not load.
PLAIT_API Arrays precompiled_cuda_kernel(std::string name, std::string image, const KernelCall& call,
                                         const std::vector<Scalar>& scalars, int64_t shared_memory = 0,
                                         bool ensure_row_contiguous = false);

}  // namespace plait::fast
