#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "base/parallel.h"
#include "plait/ops.h"

namespace plait {
namespace {

Array waves(const Shape& shape) {
  std::vector<float> v(static_cast<size_t>(shape.count_value()));
  for (size_t i = 0; i < v.size(); ++i) v[i] = std::sin(static_cast<float>(i) * 1.7f) * 2;
  return Array::from<float>(v, shape);
}
std::vector<float> floats(const Array& a) { return a.to_vector<float>(); }

// Against a plain loop in double, over every axis and direction and for lengths that are cut in blocks.
TEST(Scan, SumsMatchALoop) {
  for (const Shape& shape :
       {Shape{1}, Shape{5}, Shape{300000}, Shape{3, 7}, Shape{2, 200, 3}, Shape{5, 130, 70}, Shape{2, 140000}})
    for (int axis = 0; axis < shape.rank(); ++axis)
      for (const bool reverse : {false, true}) {
        const Array a = waves(shape);
        const auto x = floats(a), y = floats(cumsum(a, axis, reverse, true, std::nullopt)),
                   e = floats(cumsum(a, axis, reverse, false, std::nullopt));
        int64_t inner = 1;
        for (int i = axis + 1; i < shape.rank(); ++i) inner *= shape[i].value();
        const int64_t n = shape[axis].value();
        for (int64_t o = 0; o < shape.count_value() / (n * inner); ++o)
          for (int64_t k = 0; k < inner; ++k) {
            double total = 0;
            for (int64_t j = 0; j < n; ++j) {
              const auto at = static_cast<size_t>((o * n + (reverse ? n - 1 - j : j)) * inner + k);
              ASSERT_NEAR(e[at], total, 1e-5 * std::sqrt(static_cast<double>(n)) + 1e-5);
              total += x[at];
              ASSERT_NEAR(y[at], total, 1e-5 * std::sqrt(static_cast<double>(n)) + 1e-5);
            }
          }
      }
}

TEST(Scan, DoesNotDependOnTheNumberOfThreads) {
  const Array a = waves({300001});
  const auto before = floats(cumsum(a, 0, false, true, std::nullopt));
  set_thread_count(1);
  const auto after = floats(cumsum(a, 0, false, true, std::nullopt));
  set_thread_count(0);
  EXPECT_EQ(before, after);
}

TEST(Scan, KindsOfIntegers) {
  const Array small = Array::from<uint8_t>(std::vector<uint8_t>{200, 100}, {2});
  EXPECT_EQ(cumsum(small, 0, false, true, std::nullopt).to_vector<uint8_t>(), (std::vector<uint8_t>{200, 44}));
  const Array a = Array::from<int32_t>(std::vector<int32_t>{1, 3, 2}, {3});
  EXPECT_EQ(cumprod(a, 0, true, false, std::nullopt).to_vector<int32_t>(), (std::vector<int32_t>{6, 2, 1}));
  EXPECT_EQ(cummax(a, 0, false, true).to_vector<int32_t>(), (std::vector<int32_t>{1, 3, 3}));
  EXPECT_EQ(cummax(a, 0, false, false).to_vector<int32_t>(),
            (std::vector<int32_t>{std::numeric_limits<int32_t>::min(), 1, 3}));
  EXPECT_EQ(cummin(a, 0, false, false).to_vector<int32_t>(),
            (std::vector<int32_t>{std::numeric_limits<int32_t>::max(), 1, 1}));
}

TEST(Scan, NaNAndInfinityStay) {
  const float inf = std::numeric_limits<float>::infinity();
  const auto top = floats(cummax(Array::from<float>(std::vector<float>{1, NAN, 5}, {3}), 0, false, true));
  EXPECT_EQ(top[0], 1);
  EXPECT_TRUE(std::isnan(top[1]) && std::isnan(top[2]));
  const auto logs =
      floats(logcumsumexp(Array::from<float>(std::vector<float>{-inf, -inf, 0, 1000, 1000, inf}, {6}), 0, false, true));
  EXPECT_EQ(logs[1], -inf);
  EXPECT_EQ(logs[2], 0);
  EXPECT_FLOAT_EQ(logs[4], 1000.693147f);
  EXPECT_EQ(logs[5], inf);
  EXPECT_THROW(cumsum(Array(1), 1, false, true, std::nullopt), AxisError);
}

}  // namespace
}  // namespace plait
