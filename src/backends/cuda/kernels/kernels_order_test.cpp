#include "backends/cuda/kernels/kernel_case.h"

namespace plait::cuda_test {
namespace {

// Short rows go to a block each, long ones over the device: alone or several at once.
TEST(CudaKernels, Sort) {
  PLAIT_NEEDS_GPU();
  for (DType d : kAll)
    for (const Extents& shape :
         {Extents{0}, {3, 0}, {1}, {2, 3}, {7, 33}, {5, 512}, {3, 513}, {2, 4096}, {1, 4097}, {3, 5000}, {1, 70001}}) {
      if (small() && shape.back() > 5000) continue;
      const Tensor a = crowded(d, shape), b = any(d, shape);
      for (const char* op : {"sort", "argsort"}) {
        expect_same(op, {}, {a});
        expect_same(op, {}, {b});
      }
      if (shape.back() > 0)
        for (int64_t k : {int64_t{0}, int64_t{1}, (shape.back() + 3) / 4, shape.back()}) {
          expect_same("top_positions", {{"k", Dim(k)}}, {a});
          expect_same("top_positions", {{"k", Dim(k)}}, {b});
        }
    }
}

TEST(CudaKernels, Searchsorted) {
  PLAIT_NEEDS_GPU();
  for (DType d : kAll)
    for (bool right : {false, true}) {
      const Tensor rows = on_cpu("sort", Attrs("sort", {}), {crowded(d, {3, 40})});
      expect_same("searchsorted", {{"right", right}}, {rows, crowded(d, {3, 9})});
      const Tensor row = on_cpu("sort", Attrs("sort", {}), {any(d, {1000})});
      expect_same("searchsorted", {{"right", right}}, {row, any(d, {7, 5})});
      expect_same("searchsorted", {{"right", right}}, {any(d, {0}), any(d, {4})});
    }
}

TEST(CudaKernels, Argmax) {
  PLAIT_NEEDS_GPU();
  for (DType d : kAll)
    for (const char* op : {"argmax", "argmin"})
      for (const Extents& shape :
           {Extents{1, 1, 1}, {5, 7, 3}, {3, 1000, 1}, {2, 50000, 1}, {1, 40000, 33}, {600, 9, 2}})
        for (int64_t axis : {0, 1, 2}) {
          if (small() && shape[0] * shape[1] * shape[2] > 10000) continue;
          if (shape[1] > 10000 && d != DType::uint8 && d != DType::float32 && d != DType::complex64) continue;
          expect_same(op, {{"axis", axis}}, {crowded(d, shape)});
          expect_same(op, {{"axis", axis}}, {any(d, shape)});
        }
}

double rounding(DType d) {
  switch (d) {
    case DType::float16: return 2e-3;
    case DType::bfloat16: return 1.6e-2;
    case DType::float64: return 1e-12;
    case DType::float32:
    case DType::complex64: return 2e-5;
    default: return 0;
  }
}

TEST(CudaKernels, Scans) {
  PLAIT_NEEDS_GPU();
  for (DType d : kAll)
    for (bool reverse : {false, true})
      for (const Extents& shape : {Extents{0, 3},
                                   {1, 1},
                                   {3, 2},
                                   {5, 31},
                                   {4, 33},
                                   {2, 2049},
                                   {1, 100001},
                                   {700, 2500},
                                   {40, 3000},
                                   {3000, 5},
                                   {20000, 2}})
        for (int64_t axis : {0, 1}) {
          if (shape[0] * shape[1] > 200000 && d != DType::float32) continue;
          const std::vector<Attr> attrs{{"axis", axis}, {"reverse", reverse}};
          std::uniform_real_distribution<double> small(-1, 1), near_one(0.97, 1.03);
          const auto draw = [&](auto& distribution) {
            return is_inexact(d) ? filled(d, shape, [&] { return distribution(generator()); }) : any(d, shape);
          };
          // What is added one after the other on the CPU rounds as often as there are elements.
          const double length = std::max(1.0, static_cast<double>(shape[static_cast<size_t>(axis)]) / 400);
          expect_same("cumsum", attrs, {draw(small)}, rounding(d) * length);
          // Complex factors lose their magnitude along the way; those of modulus 1 don't.
          Tensor factors = draw(near_one);
          if (d == DType::complex64) factors = filled(d, shape, [k = 0]() mutable { return ++k % 2 ? 0.6 : 0.8; });
          expect_same("cumprod", attrs, {factors}, rounding(d) * 30 * length);
          expect_same("cummax", attrs, {crowded(d, shape)});
          expect_same("cummin", attrs, {any(d, shape)});
          if (is_inexact(d)) expect_same("logcumsumexp", attrs, {draw(small)}, rounding(d) * 2);
          if (is_inexact(d) && d != DType::complex64)
            expect_same("logcumsumexp", attrs, {crowded(d, shape)}, rounding(d) * 2);
          if (d == DType::bool_) continue;
          expect_same("linear_scan", attrs, {draw(small), draw(small)}, rounding(d));
          expect_same("segment_scan", attrs, {any(DType::bool_, shape), draw(small), draw(small)}, rounding(d));
        }
}

TEST(CudaKernels, ScansGiveTheSameBitsEveryTime) {
  PLAIT_NEEDS_GPU();
  const Tensor a = any(DType::float32, {3, 1000003});
  const Attrs attrs("cumsum", {{"axis", int64_t{1}}, {"reverse", false}});
  const Tensor first = on_device("cumsum", attrs, {a});
  for (int i = 0; i < 3; ++i) EXPECT_EQ(on_device("cumsum", attrs, {a}).bytes, first.bytes);
}

}  // namespace
}  // namespace plait::cuda_test
