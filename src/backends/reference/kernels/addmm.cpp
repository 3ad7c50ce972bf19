// The product by the kernel of products, then the sum: the CPU itself adds in the region that follows.
#include <complex>
#include <type_traits>

#include "backends/kernel.h"
#include "base/dispatch.h"

namespace plait {
namespace {

void run(const KernelArgs& args) {
  const TensorView &c = args.inputs[0], &out = args.outputs[0];
  kernels().find("matmul")->run(
      {.op = "matmul", .inputs = args.inputs.subspan(1), .outputs = args.outputs, .attrs = {}});
  dispatch(out.dtype, [&]<class T>() {
    for (int64_t i = 0; i < out.shape[0]; ++i)
      for (int64_t j = 0; j < out.shape[1]; ++j) {
        T& to = out.as<T>()[i * out.shape[1] + j];
        const T& plus = c.as<const T>()[i * c.strides[0] + j * c.strides[1]];
        if constexpr (std::is_same_v<T, float16_t> || std::is_same_v<T, bfloat16_t>)
          to = T::from(static_cast<float>(to) + static_cast<float>(plus));
        else
          to = static_cast<T>(to + plus);
      }
  });
}

}  // namespace

void register_reference_kernels_addmm(KernelTable& table) {
  table.add("addmm", Backend::reference, {.run = run, .contiguous_inputs = false});
}

}  // namespace plait
