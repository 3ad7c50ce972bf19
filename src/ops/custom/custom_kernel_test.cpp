#include "plait/custom_kernel.h"

#include <gtest/gtest.h>

#include "plait/ops.h"
#include "plait/transforms.h"

namespace plait {
namespace {

fast::KernelCall call_for(const Array& x) {
  return {.inputs = {x},
          .output_shapes = {x.shape()},
          .output_dtypes = {x.dtype()},
          .grid = {Dim(x.size()), 1, 1},
          .threadgroup = {64, 1, 1}};
}

const char* const kBody = "y[thread_position_in_grid.x] = SCALE * x[thread_position_in_grid.x];";

fast::CustomKernel scaling() { return fast::cpu_kernel({"scale", {"x"}, {"y"}, kBody}); }

TEST(CustomKernels, RunFromCpp) {
  const Array x = Array::from<float>(std::vector<float>{1, 2, 3}, {3});
  fast::KernelCall call = call_for(x);
  call.values = {{"SCALE", int64_t{3}}};
  const Array y = scaling()(call)[0];
  try {
    EXPECT_EQ(y.to_vector<float>(), (std::vector<float>{3, 6, 9}));
  } catch (const DeviceError& error) {
    GTEST_SKIP() << error.what();
  }
  EXPECT_NE(scaling().text(call).find("SCALE = 3"), std::string::npos);
}

TEST(CustomKernels, SayWhatDoesNotFit) {
  const Array x = Array::from<float>(std::vector<float>{1, 2, 3}, {3});
  fast::KernelCall call = call_for(x);
  call.inputs.push_back(x);
  EXPECT_THROW(scaling()(call), ArgumentError);
  EXPECT_THROW(fast::cpu_kernel({"scale", {"x", "x"}, {"y"}, kBody}), ArgumentError);
}

TEST(CustomKernels, HaveNoRules) {
  const Array x = Array::from<float>(std::vector<float>{1, 2, 3}, {3});
  const auto f = [](const Arrays& in) {
    fast::KernelCall call = call_for(in[0]);
    call.values = {{"SCALE", int64_t{3}}};
    return Arrays{sum(scaling()(call)[0], Axes(), false)};
  };
  EXPECT_THROW(grad(f)({x}), TransformError);
}

}  // namespace
}  // namespace plait
