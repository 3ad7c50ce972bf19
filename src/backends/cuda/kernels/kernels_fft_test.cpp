#include "backends/cuda/kernels/kernel_case.h"

namespace plait::cuda_test {
namespace {

// Both sides round, by log2(n) doublings; numbers are of the size of sqrt(n).
double tolerance(int64_t n) {
  const auto length = static_cast<double>(n);
  return 3e-7 * std::sqrt(length) * (2 + std::log2(length));
}

const std::vector<Extents> kShapes{{1},        {2},        {7},        {8},         {100},       {67},
                                   {1009},     {4096},     {5, 12},    {3, 1},      {300, 64},   {2, 3, 9},
                                   {4, 16, 5}, {16, 1, 3}, {2, 61, 7}, {40, 33, 1}, {1, 1, 256}, {3, 2, 5, 10},
                                   {0, 4},     {3, 0, 5},  {2, 8, 0}};

/// Every axis that is not empty.
template <class Body>
void for_axes(const Extents& shape, Body body) {
  for (size_t axis = 0; axis < shape.size(); ++axis)
    if (shape[axis] > 0) body(static_cast<int64_t>(axis), shape[axis]);
}

TEST(CudaKernels, Fft) {
  PLAIT_NEEDS_GPU();
  for (const Extents& shape : kShapes)
    for_axes(shape, [&](int64_t axis, int64_t n) {
      for (const bool inverse : {false, true})
        for (const int64_t divide : {0, 1, 2})
          expect_same("fft_complex", {{"axis", axis}, {"inverse", inverse}, {"divide", divide}},
                      {any(DType::complex64, shape)}, tolerance(n));
    });
}

TEST(CudaKernels, FftOfRealNumbers) {
  PLAIT_NEEDS_GPU();
  for (const Extents& shape : kShapes)
    for_axes(shape, [&](int64_t axis, int64_t n) {
      for (const int64_t divide : {0, 1, 2})
        expect_same("fft_real", {{"axis", axis}, {"divide", divide}}, {any(DType::float32, shape)}, tolerance(n));
    });
}

TEST(CudaKernels, FftToRealNumbers) {
  PLAIT_NEEDS_GPU();
  for (const Extents& shape : kShapes)
    for_axes(shape, [&](int64_t axis, int64_t n) {
      Extents half = shape;
      half[static_cast<size_t>(axis)] = n / 2 + 1;
      const Tensor a = any(DType::complex64, half);  // imaginary parts that do not count, too
      for (const int64_t divide : {0, 1, 2})
        expect_same("fft_to_real", {{"axis", axis}, {"divide", divide}, {"n", Dim(n)}}, {a}, tolerance(n));
    });
}

TEST(CudaKernels, FftToRealNumbersKeepsItsInput) {
  PLAIT_NEEDS_GPU();
  const Attrs attrs("fft_to_real", {{"axis", int64_t{1}}, {"n", Dim(4096)}});
  const Tensor a = any(DType::complex64, {3, 2049});
  Device device;
  Tensor out = Tensor::empty(DType::float32, {3, 4096}), after = a;
  const TensorView in = a.view(device.put(a)), to = out.view(device.put(out));
  cuda_kernel("fft_to_real")
      ->run({.op = "fft_to_real",
             .inputs = {&in, 1},
             .outputs = {&to, 1},
             .attrs = attrs.view(),
             .queue = device.queue()});
  device.get(after, in.data);
  EXPECT_EQ(difference(after, a), 0);
}

TEST(CudaKernels, FftOfLongLines) {
  PLAIT_NEEDS_GPU();
  const int64_t n = small() ? 1 << 12 : 1 << 20;
  expect_same("fft_complex", {{"axis", int64_t{0}}}, {any(DType::complex64, {n})}, tolerance(n));
  expect_same("fft_real", {{"axis", int64_t{1}}}, {any(DType::float32, {2, n})}, tolerance(n));
}

TEST(CudaKernels, MorePlansThanAreKept) {
  PLAIT_NEEDS_GPU();
  for (int round = 0; round < 2; ++round)
    for (int64_t n = 1; n <= 100; ++n)
      expect_same("fft_complex", {{"axis", int64_t{1}}}, {any(DType::complex64, {2, n})}, tolerance(n));
}

// A plan holds tables on the device: it may leave the cache while the device still has to work with it.
TEST(CudaKernels, PlansLeaveBeforeTheirCallsAreDone) {
  PLAIT_NEEDS_GPU();
  const int64_t lines = small() ? 16 : 30000, most = 64;  // of plans that are kept
  const Tensor a = any(DType::complex64, {lines, 1024});
  Device device;
  Tensor before = Tensor::empty(DType::complex64, {lines, 1009}), after = before;
  void *const from = device.put(a), *const to = device.put(before), *const other = device.put(a);
  const Attrs attrs("fft_complex", {{"axis", int64_t{1}}});
  const auto call = [&](int64_t rows, int64_t n, void* result) {
    const Tensor extents{DType::complex64, {rows, n}, {n, 1}, 0, {}};
    const TensorView in = extents.view(from), out = extents.view(result);
    cuda_kernel("fft_complex")
        ->run({.op = "fft_complex",
               .inputs = {&in, 1},
               .outputs = {&out, 1},
               .attrs = attrs.view(),
               .queue = device.queue()});
  };
  for (int64_t n = 2; n < 2 + most; ++n) call(3, n, other);  // those of other tests are gone
  call(lines, 1009, to);
  device.get(before, to);
  call(lines, 1024, other);
  for (int64_t n = 2; n < most; ++n) call(5, n, other);
  for (int i = 0; i < 200; ++i) call(lines, 1024, other);  // the device has to do for a while
  call(lines, 1009, to);  // the oldest plan
  call(7, 3, other);  // puts it out
  device.get(after, to);
  EXPECT_EQ(difference(after, before), 0);
}

}  // namespace
}  // namespace plait::cuda_test
