#include <set>
#include <string_view>

#include "backends/cuda/kernels/kernel_case.h"

namespace plait::cuda_test {
namespace {

TEST(CudaKernels, EveryOpaqueOpHasOneButFew) {
  const std::set<std::string_view> on_the_cpu{"covariance_root", "covariance_root_change", "cpu_kernel", "eig", "pinv"};
  set_registry_source(register_all_ops);
  for (const auto& op : registry().ops()) {
    if (op->kind != OpKind::opaque) continue;
    const Kernel* const kernel = cuda_kernel(op->name);
    EXPECT_EQ(kernel == nullptr, on_the_cpu.contains(op->name)) << op->name;
    ASSERT_NE(kernels().find(op->name), nullptr) << op->name;
    if (kernel) {
      EXPECT_EQ(kernel->output_aliases_input0, kernels().find(op->name)->output_aliases_input0) << op->name;
    }
  }
}

Tensor transposed(Tensor t, size_t a, size_t b) {
  std::swap(t.shape[a], t.shape[b]);
  std::swap(t.strides[a], t.strides[b]);
  return t;
}

TEST(CudaKernels, Concatenate) {
  PLAIT_NEEDS_GPU();
  for (DType d : {DType::uint8, DType::bfloat16, DType::float32, DType::complex64}) {
    for (int64_t axis : {0, 1, 2}) {
      const auto part = [&](int64_t n) {
        Extents shape{3, 5, 4};
        shape[static_cast<size_t>(axis)] = n;
        return any(d, shape);
      };
      expect_same("concatenate", {{"axis", axis}}, {part(3), part(0), part(1), part(7)});
    }
    expect_same("concatenate", {{"axis", int64_t{0}}}, {any(d, {1000}), any(d, {77777})});
    const Tensor turned = transposed(any(d, {100, 7, 65}), 0, 2);  // (65, 7, 100)
    expect_same("concatenate", {{"axis", int64_t{1}}}, {turned, any(d, {65, 2, 100})});
    Tensor repeated = any(d, {65, 1, 1});
    repeated.shape = {65, 3, 100};
    repeated.strides = {1, 0, 0};
    Tensor backwards = any(d, {65, 3, 100});
    backwards.strides[2] = -1;
    backwards.offset = 99;
    expect_same("concatenate", {{"axis", int64_t{1}}}, {repeated, backwards});
    const Tensor many = transposed(transposed(any(d, {2, 3, 2, 3, 2, 3, 2, 3}), 0, 7), 2, 5);
    expect_same("concatenate", {{"axis", int64_t{3}}}, {many, many});
  }
}

TEST(CudaKernels, SliceUpdate) {
  PLAIT_NEEDS_GPU();
  for (DType d : {DType::bool_, DType::float16, DType::int32, DType::float64}) {
    const std::vector<Attr> attrs{{"start", Shape{1, 9}}, {"size", Shape{2, 4}}, {"step", Shape{3, -2}}};
    expect_same("slice_update_static", attrs, {any(d, {6, 11}), any(d, {2, 4})});
    expect_same("slice_update_static", attrs, {any(d, {6, 11}), transposed(any(d, {4, 2}), 0, 1)});
    expect_same("slice_update_static", {{"start", Shape{2}}, {"size", Shape{0}}, {"step", Shape{1}}},
                {any(d, {6}), any(d, {0})});
    expect_same("slice_update_static", {{"start", Shape{}}, {"size", Shape{}}, {"step", Shape{}}},
                {any(d, {}), any(d, {})});
    const Tensor start = filled(DType::int32, {2}, [k = 0]() mutable { return ++k < 3 ? 2.0 : -5.0; });
    const std::vector<int64_t> axes{0, 2};
    expect_same("slice_dynamic", {{"axes", axes}, {"size", Shape{3, 4, 5}}}, {any(d, {6, 4, 9}), start});
    expect_same("slice_update_dynamic", {{"axes", axes}}, {any(d, {6, 4, 9}), any(d, {3, 4, 5}), start});
  }
}

TEST(CudaKernels, Take) {
  PLAIT_NEEDS_GPU();
  for (DType d : kAll) {
    expect_same("take", {{"axis", int64_t{0}}, {"batch", int64_t{0}}},
                {any(d, {50, 12}), positions(DType::int64, {3, 7}, 50)});
    expect_same("take_along_axis", {{"axis", int64_t{1}}},
                {any(d, {4, 30, 5}), positions(DType::int32, {4, 8, 5}, 30)});
  }
  for (DType at : {DType::uint8, DType::uint16, DType::uint32, DType::uint64, DType::int8, DType::int16, DType::int32,
                   DType::int64}) {
    expect_same("take", {{"axis", int64_t{2}}, {"batch", int64_t{1}}},
                {any(DType::float32, {3, 4, 20, 3}), positions(at, {3, 5}, 20)});
    expect_same("take_along_axis", {{"axis", int64_t{0}}}, {any(DType::float32, {20}), positions(at, {100}, 20)});
  }
  expect_same("take", {{"axis", int64_t{0}}, {"batch", int64_t{0}}},
              {any(DType::float32, {5, 0}), positions(DType::int32, {3}, 5)});
  expect_same("take", {{"axis", int64_t{0}}, {"batch", int64_t{0}}},
              {any(DType::float32, {5}), positions(DType::int32, {}, 5)});
  expect_same("take", {{"axis", int64_t{0}}, {"batch", int64_t{0}}},
              {any(DType::bfloat16, {300, 1024}), positions(DType::int32, {2000}, 300)});
}

TEST(CudaKernels, Scatter) {
  PLAIT_NEEDS_GPU();
  struct Sizes {
    int64_t batch, n, m, rest;
  };
  // Few updates, long rows, short rows, many columns; targets that repeat often and seldom.
  for (const Sizes s : {Sizes{1, 5, 20, 3},
                        {2, 300, 40, 600},
                        {1, 7, 3000, 1},
                        {1, 40, 2000, 33},
                        {3, 1000, 5000, 2},
                        {1, 1, 4096, 1},
                        {2100, 4, 40, 1},
                        {33000, 4, 70, 1},
                        {1, 5, 0, 3},
                        {2, 5, 30, 0}})
    for (int64_t mode = 0; mode < 5; ++mode)
      for (DType d : kAll) {
        if (s.batch * s.m > 100000 && d != DType::bfloat16 && d != DType::int64) continue;
        const bool rounds = is_half(d) && (mode == 1 || mode == 2);  // every sum on the CPU, once here
        const auto values = [&](Extents shape) {
          if (mode >= 3) return crowded(d, std::move(shape));
          std::uniform_int_distribution<int> pick(-2, 2);  // sums and products that 16 bits hold
          int drawn = 0;  // factors are 1 and -1, without an imaginary part
          return filled(d, std::move(shape), [&] {
            const int x = pick(generator());
            return mode != 2 ? x : ++drawn % 2 == 0 ? 0 : x > 0 ? -1 : 1;
          });
        };
        const double tolerance = rounds ? 0.2 : 0;
        expect_same("scatter_rows", {{"mode", mode}, {"batch", int64_t{1}}},
                    {values({s.batch, s.n, s.rest}), positions(DType::int32, {s.batch, s.m}, s.n),
                     values({s.batch, s.m, s.rest})},
                    tolerance);
      }
  for (bool adds : {false, true})
    for (DType d : {DType::uint8, DType::int16, DType::float32, DType::complex64}) {
      expect_same("put_along_axis", {{"axis", int64_t{1}}, {"adds", adds}},
                  {any(d, {4, 10, 6}), positions(DType::int64, {4, 25, 6}, 10), any(d, {4, 25, 6})});
      expect_same("put_along_axis", {{"axis", int64_t{0}}, {"adds", adds}},
                  {any(d, {1000}), positions(DType::uint32, {7000}, 1000), any(d, {7000})});
      expect_same("put_along_axis", {{"axis", int64_t{1}}, {"adds", adds}},
                  {any(d, {3, 500, 2}), positions(DType::int32, {3, 900, 2}, 500), any(d, {3, 900, 2})});
    }
}

TEST(CudaKernels, PositionsOutsideAreReported) {
  PLAIT_NEEDS_GPU();
  const auto outside = [](const char* op, const std::vector<Attr>& attrs, const std::vector<Tensor>& inputs) {
    try {
      on_device(op, Attrs(op, attrs), inputs);
      ADD_FAILURE() << op << " reported nothing";
    } catch (const IndexError& error) {
      EXPECT_EQ(error.info().op, op);
    }
  };
  const Tensor bad = filled(DType::int32, {3}, [k = 0]() mutable { return ++k < 3 ? 1.0 : 9.0; });
  outside("take", {{"axis", int64_t{0}}, {"batch", int64_t{0}}}, {any(DType::float32, {5}), bad});
  outside("take", {{"axis", int64_t{0}}, {"batch", int64_t{0}}}, {any(DType::float32, {0, 4}), bad});
  outside("take_along_axis", {{"axis", int64_t{0}}}, {any(DType::float32, {5}), bad});
  outside("scatter_rows", {{"mode", int64_t{1}}, {"batch", int64_t{0}}},
          {any(DType::float32, {5}), bad, any(DType::float32, {3})});
  outside("put_along_axis", {{"axis", int64_t{0}}, {"adds", true}},
          {any(DType::float32, {5}), bad, any(DType::float32, {3})});
  outside("slice_dynamic", {{"axes", std::vector<int64_t>{0, 1, 2}}, {"size", Shape{1, 1, 1}}},
          {any(DType::float32, {5, 5, 5}), bad});
}

TEST(CudaKernels, Create) {
  PLAIT_NEEDS_GPU();
  for (DType d : kAll) {
    if (d == DType::bool_) continue;
    const bool inexact = is_inexact(d);
    expect_same("arange",
                {{"start", inexact ? Scalar(-1.25) : Scalar(-7)},
                 {"step", inexact ? Scalar(0.1) : Scalar(3)},
                 {"size", Dim(10001)},
                 {"dtype", d}},
                {});
    expect_same("arange", {{"start", Scalar(1)}, {"step", Scalar(1)}, {"size", Dim(0)}, {"dtype", d}}, {});
    expect_same("extent", {{"value", Dim(77)}, {"dtype", d}}, {});
  }
}

TEST(CudaKernels, RandomBitsAreTheCpus) {
  PLAIT_NEEDS_GPU();
  for (int64_t n : {0, 1, 2, 3, 7, 31, 32, 33, 1000, 100003})
    for (int64_t streams : {1, 5})
      expect_same("random_bits", {{"shape", Shape{n}}}, {any(DType::uint32, {streams, 2})});
  expect_same("random_bits", {{"shape", Shape{}}}, {any(DType::uint32, {2})});
}

// Offsets past 2^31 and 2^32: values are made on the device, and what lies at the end is taken from there.
TEST(CudaKernels, PastFourBillionElements) {
  PLAIT_NEEDS_GPU();
  const int64_t n = (int64_t{1} << 32) + 12345;
  Device device;
  memory::DeviceMemory& memory = cuda_memory();
  void* data = memory.allocate(device.queue(), n);
  const TensorView whole{.data = data, .dtype = DType::uint8, .shape = {n}, .strides = {1}};
  const Attrs arange("arange", {{"start", Scalar(0)}, {"step", Scalar(1)}, {"size", Dim(n)}, {"dtype", DType::uint8}});
  cuda_kernel("arange")->run(
      {.op = "arange", .inputs = {}, .outputs = {&whole, 1}, .attrs = arange.view(), .queue = device.queue()});
  const std::vector<int64_t> wanted{0, -1, (int64_t{1} << 31) + 5, (int64_t{1} << 32) + 77};
  Tensor at = Tensor::empty(DType::int64, {4});
  std::memcpy(at.bytes.data(), wanted.data(), at.bytes.size());
  Tensor out = Tensor::empty(DType::uint8, {4});
  void* to = device.put(out);
  const TensorView inputs[] = {whole, at.view(device.put(at))}, out_view = out.view(to);
  const Attrs take("take", {{"axis", int64_t{0}}, {"batch", int64_t{0}}});
  auto* const note = static_cast<memory::PositionNote*>(cuda_memory().allocate_shared(sizeof(memory::PositionNote)));
  cuda_kernel("take")->run({.op = "take",
                            .inputs = inputs,
                            .outputs = {&out_view, 1},
                            .attrs = take.view(),
                            .queue = device.queue(),
                            .note = note});
  device.get(out, to);
  for (size_t i = 0; i < wanted.size(); ++i)
    EXPECT_EQ(static_cast<uint8_t>(out.bytes[i]), static_cast<uint8_t>(wanted[i] < 0 ? wanted[i] + n : wanted[i]));
  TensorView halves = whole;  // (2, n / 2): the first 255 of each
  halves.shape = {2, n / 2};
  halves.strides = {n / 2, 1};
  Tensor two = Tensor::empty(DType::uint32, {2});
  void* places = device.put(two);
  const TensorView two_view = two.view(places);
  const Attrs argmax("argmax", {{"axis", int64_t{1}}});
  cuda_kernel("argmax")->run({.op = "argmax",
                              .inputs = {&halves, 1},
                              .outputs = {&two_view, 1},
                              .attrs = argmax.view(),
                              .queue = device.queue()});
  device.get(two, places);
  uint32_t first[2];
  std::memcpy(first, two.bytes.data(), sizeof(first));
  EXPECT_EQ(first[0], 255u);
  EXPECT_EQ((n / 2 + first[1]) % 256, 255);
  EXPECT_LT(first[1], 256u);
  memory.release(device.queue(), data);
}

}  // namespace
}  // namespace plait::cuda_test
