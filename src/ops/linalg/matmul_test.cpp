#include <gtest/gtest.h>

#include <cmath>

#include "base/parallel.h"
#include "plait/more_ops.h"
#include "plait/ops.h"

namespace plait {
namespace {

Array wave(const Shape& shape, DType dtype, double step = 0.7) {
  const int64_t n = shape.count_value();
  std::vector<float> v(static_cast<size_t>(n));
  for (int64_t i = 0; i < n; ++i)
    v[static_cast<size_t>(i)] = std::round(std::sin(static_cast<double>(i) * step) * 8) / 8;
  return astype(Array::from<float>(v, shape), dtype);
}

std::vector<double> doubles(const Array& a) { return astype(a, DType::float64).to_vector<double>(); }

// Plain loops over evaluated elements.
std::vector<double> expected(const Array& a, const Array& b, int64_t m, int64_t k, int64_t n) {
  const auto x = doubles(a), y = doubles(b);
  std::vector<double> out(static_cast<size_t>(m * n));
  for (int64_t i = 0; i < m; ++i)
    for (int64_t p = 0; p < k; ++p)
      for (int64_t j = 0; j < n; ++j) out[i * n + j] += x[i * k + p] * y[p * n + j];
  return out;
}

void check(const Array& got, const std::vector<double>& want, double tolerance) {
  const auto have = doubles(got);
  ASSERT_EQ(have.size(), want.size());
  for (size_t i = 0; i < have.size(); ++i)
    ASSERT_NEAR(have[i], want[i], tolerance * std::max(1.0, std::fabs(want[i]))) << i;
}

class Products : public ::testing::TestWithParam<DType> {};

TEST_P(Products, EqualPlainLoops) {
  const DType d = GetParam();
  const double tolerance = d == DType::bfloat16 ? 1e-2 : d == DType::float16 ? 2e-3 : 1e-5;
  const int64_t extents[][3] = {{1, 1, 1},      {2, 3, 4},       {8, 16, 32}, {9, 17, 33}, {1, 300, 70},   {70, 300, 1},
                                {65, 257, 129}, {300, 513, 600}, {5, 1, 7},   {1, 7, 1},   {2100, 77, 230}};
  for (const auto& [m, k, n] : extents) {
    const Array a = wave({m, k}, d), b = wave({k, n}, d, 0.3);
    const auto want = expected(a, b, m, k, n);
    check(matmul(a, b), want, tolerance);
    const Array at = contiguous(transpose(a)), bt = contiguous(transpose(b));
    check(matmul(transpose(at), b), want, tolerance);
    check(matmul(a, transpose(bt)), want, tolerance);
    check(matmul(transpose(at), transpose(bt)), want, tolerance);
  }
}

INSTANTIATE_TEST_SUITE_P(Dtypes, Products,
                         ::testing::Values(DType::float32, DType::float64, DType::float16, DType::bfloat16));

TEST(Matmul, BatchesAndVectors) {
  const Array a = wave({2, 1, 3, 4}, DType::float32), b = wave({5, 4, 2}, DType::float32);
  const Array c = matmul(a, b);
  EXPECT_EQ(c.shape(), (Shape{2, 5, 3, 2}));
  const auto got = doubles(c), x = doubles(a), y = doubles(b);
  for (int i = 0; i < 2; ++i)
    for (int j = 0; j < 5; ++j)
      for (int r = 0; r < 3; ++r)
        for (int s = 0; s < 2; ++s) {
          double want = 0;
          for (int p = 0; p < 4; ++p) want += x[(i * 3 + r) * 4 + p] * y[(j * 4 + p) * 2 + s];
          EXPECT_NEAR(got[((i * 5 + j) * 3 + r) * 2 + s], want, 1e-5);
        }
  EXPECT_EQ(matmul(wave({3}, DType::float32), wave({3}, DType::float32)).shape(), Shape{});
  EXPECT_EQ(matmul(wave({2, 3}, DType::float32), wave({3}, DType::float32)).shape(), Shape{2});
  EXPECT_EQ(matmul(wave({3}, DType::float32), wave({4, 3, 2}, DType::float32)).shape(), (Shape{4, 2}));
  EXPECT_EQ(matmul(zeros({2, 0}), zeros({0, 3})).to_vector<float>(), std::vector<float>(6, 0));
  EXPECT_THROW(matmul(zeros({2, 3}), zeros({2, 3})), ShapeError);
  EXPECT_THROW(matmul(zeros({2, 2}, DType::int32), zeros({2, 2}, DType::int32)), DTypeError);
}

TEST(Matmul, Complex) {
  const complex64_t av[] = {{1, 2}, {0, 1}, {3, -1}, {2, 2}}, bv[] = {{0, 1}, {1, 0}, {1, 1}, {2, -1}};
  const Array a = Array::from<complex64_t>(std::span<const complex64_t>(av), {2, 2}),
              b = Array::from<complex64_t>(std::span<const complex64_t>(bv), {2, 2});
  const auto c = matmul(a, b).to_vector<complex64_t>();
  EXPECT_FLOAT_EQ(c[0].re, -3);
  EXPECT_FLOAT_EQ(c[0].im, 2);
}

TEST(Matmul, SameBitsForAnyNumberOfThreads) {
  const int64_t extents[][3] = {{120, 400, 500}, {290, 700, 530}, {96, 400, 1000}, {1000, 400, 96}};
  for (const auto& [m, k, n] : extents)
    for (const DType d : {DType::float32, DType::bfloat16}) {
      const Array a = wave({m, k}, d), b = wave({k, n}, d, 0.3);
      const auto product = [&] { return astype(matmul(a, b), DType::float32).to_vector<float>(); };
      set_thread_count(1);
      const auto one = product();
      set_thread_count(4);
      EXPECT_EQ(product(), one);
      set_thread_count(0);
    }
}

TEST(Matmul, Tensordot) {
  EXPECT_EQ(tensordot(zeros({2, 3, 4}), zeros({3, 4, 5})).shape(), (Shape{2, 5}));
  EXPECT_EQ(tensordot(zeros({2, 3}), zeros({3, 2}), {0, 1}, {1, 0}).shape(), Shape{});
  EXPECT_EQ(inner(zeros({2, 3}), zeros({4, 3})).shape(), (Shape{2, 4}));
}

TEST(Einsum, Contracts) {
  const Array a = wave({2, 3}, DType::float64), b = wave({3, 4}, DType::float64, 0.3),
              c = wave({4, 5}, DType::float64, 0.4);
  check(einsum("ij, jk", {a, b}), doubles(matmul(a, b)), 1e-9);
  check(einsum("ij,jk,kl->li", {a, b, c}), doubles(contiguous(transpose(matmul(matmul(a, b), c)))), 1e-9);
  check(einsum("ii->i", {matmul(a, transpose(a))}), doubles(diagonal(matmul(a, transpose(a)))), 1e-9);
  check(einsum("ij->", {a}), doubles(sum(a)), 1e-9);
  check(einsum("...ij,...jk->...ik", {wave({5, 2, 3}, DType::float64), b}),
        doubles(matmul(wave({5, 2, 3}, DType::float64), b)), 1e-9);
  check(einsum("bij,bj->bi", {wave({5, 2, 3}, DType::float64), wave({5, 3}, DType::float64)}),
        doubles(squeeze(matmul(wave({5, 2, 3}, DType::float64), expand_dims(wave({5, 3}, DType::float64), 2)), 2)),
        1e-9);
  EXPECT_THROW(einsum("i,i->", {zeros({2}), zeros({3})}), ShapeError);
  EXPECT_THROW(einsum("i$", {zeros({2})}), ShapeError);
  const auto [path, text] = einsum_path("ij,jk,kl->il", {a, b, c});
  EXPECT_EQ(path, (std::vector<std::vector<int>>{{1, 2}, {0, 1}}));
  EXPECT_EQ(
      text,
      "  Complete contraction:  ij,jk,kl->il\n         Naive scaling:  4\n     Optimized scaling:  3\n      Naive FLOP count:  360\n  Optimized FLOP count:  180\n");
}

TEST(MaskedProducts, SegmentsAndPicks) {
  const Array a = wave({2, 10}, DType::float64), b = wave({10, 3}, DType::float64, 0.3);
  const Array parts = segmented_mm(a, b, Array::from<int32_t>(std::vector<int32_t>{0, 4, 4, 10}, {2, 2}));
  check(sum(parts, 0), doubles(matmul(a, b)), 1e-9);
  EXPECT_EQ(gather_mm(zeros({2, 3, 4}), zeros({5, 4, 2}), Array::from<int32_t>(std::vector<int32_t>{0, 1}, {2}),
                      Array::from<int32_t>(std::vector<int32_t>{4, 0}, {2}))
                .shape(),
            (Shape{2, 3, 2}));
  const Array mask = Array::from<float>(std::vector<float>{1, 0, 0, 2}, {2, 2});
  EXPECT_EQ(block_masked_mm(ones({4, 1}), ones({1, 4}), 2, mask).to_vector<float>(),
            (std::vector<float>{1, 1, 0, 0, 1, 1, 0, 0, 0, 0, 2, 2, 0, 0, 2, 2}));
}

}  // namespace
}  // namespace plait
