#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "plait/more_ops.h"
#include "plait/ops.h"

namespace plait {
namespace {

Array numbers(const Shape& shape) { return reshape(arange(0.0, static_cast<double>(shape.count_value())), shape); }
Array vec(std::vector<float> v) { return Array::from<float>(v, {static_cast<int64_t>(v.size())}); }
std::vector<float> floats(const Array& a) { return a.to_vector<float>(); }
using Floats = std::vector<float>;
constexpr float kInf = std::numeric_limits<float>::infinity();
constexpr float kNan = std::numeric_limits<float>::quiet_NaN();

TEST(Reductions, MeanAndSpread) {
  EXPECT_EQ(floats(mean(numbers({2, 3}), 1, false)), (Floats{1, 4}));
  EXPECT_EQ(mean(arange(1, 3), Axes(), false).item<float>(), 1.5f);
  EXPECT_TRUE(std::isnan(mean(zeros({0}), Axes(), false).item<float>()));
  EXPECT_FLOAT_EQ(std(vec({1, 2, 4}), Axes(), false).item<float>(), 1.2472191f);
  EXPECT_FLOAT_EQ(var(vec({1, 2}), Axes(), false, 1).item<float>(), 0.5f);
  const Array half = astype(broadcast_to(Array(60000.0), {64}), DType::float16);
  EXPECT_EQ(static_cast<float>(mean(half, Axes(), false).item<float16_t>()), 60000.0f);
}

TEST(Reductions, SoftmaxAndLogsumexp) {
  const auto y = floats(softmax(numbers({2, 3}), -1));
  EXPECT_NEAR(y[0] + y[1] + y[2], 1, 1e-6);
  EXPECT_NEAR(y[3], std::exp(-2.0) / (1 + std::exp(-1.0) + std::exp(-2.0)), 1e-6);
  EXPECT_NEAR(logsumexp(vec({1000, 1000}), Axes(), false).item<float>(), 1000 + std::log(2.0f), 1e-3);
  EXPECT_EQ(logsumexp(vec({-kInf, -kInf}), Axes(), false).item<float>(), -kInf);
  EXPECT_EQ(logsumexp(vec({kInf, 1}), Axes(), false).item<float>(), kInf);
  EXPECT_EQ(softmax(zeros({0}), 0).size(), 0);
}

TEST(Reductions, Positions) {
  EXPECT_EQ(argmax(vec({1, kNan, 2})).item<uint32_t>(), 1u);
  EXPECT_EQ(argmax(vec({1, 3, 3})).item<uint32_t>(), 1u);
  EXPECT_EQ(argmin(numbers({2, 3}), 0).to_vector<uint32_t>(), (std::vector<uint32_t>{0, 0, 0}));
  EXPECT_EQ(argmax(numbers({2, 3}), 1, true).to_vector<uint32_t>(), (std::vector<uint32_t>{2, 2}));
  EXPECT_EQ(argmax(numbers({2, 3}), std::nullopt, true).shape(), (Shape{1, 1}));
  EXPECT_THROW(argmax(zeros({0})), ShapeError);
}

TEST(Reductions, AnyAll) {
  EXPECT_TRUE(any(vec({0, 1}), Axes(), false).item<bool>());
  EXPECT_FALSE(all(vec({0, 1}), Axes(), false).item<bool>());
  EXPECT_TRUE(all(zeros({0}), Axes(), false).item<bool>());
  EXPECT_FALSE(any(zeros({0}), Axes(), false).item<bool>());
  EXPECT_EQ(astype(any(numbers({2, 2}), 0, false), DType::uint8).to_vector<uint8_t>(), (std::vector<uint8_t>{1, 1}));
}

TEST(Creation, Ranges) {
  EXPECT_EQ(arange(5, 0, -2).to_vector<int32_t>(), (std::vector<int32_t>{5, 3, 1}));
  EXPECT_EQ(arange(-2, 2, 0.5, DType::int32).to_vector<int32_t>(), (std::vector<int32_t>{-2, -1, 0, 1, 2, 3, 4, 5}));
  EXPECT_EQ(floats(arange(0, 1, 0.25)), (Floats{0, .25, .5, .75}));
  EXPECT_EQ(linspace(0, 10, 4, true, DType::int32).to_vector<int32_t>(), (std::vector<int32_t>{0, 3, 6, 10}));
  EXPECT_EQ(floats(eye(2, 3, 1)), (Floats{0, 1, 0, 0, 0, 1}));
  EXPECT_EQ(floats(tri(2, 3, 1)), (Floats{1, 1, 0, 1, 1, 1}));
  EXPECT_EQ(floats(tril(numbers({2, 2}))), (Floats{0, 0, 2, 3}));
  EXPECT_EQ(floats(triu(numbers({2, 2}), 1)), (Floats{0, 1, 0, 0}));
  EXPECT_THROW(arange(0, 5, 0), ArgumentError);
}

TEST(Elementwise, Rounding) {
  EXPECT_EQ(floats(round(vec({0.5, 1.5, 2.5, -0.5}))), (Floats{0, 2, 2, -0.0f}));
  EXPECT_EQ(round(arange(125, 136, 10), -1).to_vector<int32_t>(), (std::vector<int32_t>{120, 140}));
  EXPECT_EQ(floats(nan_to_num(vec({kNan, kInf, 1}))), (Floats{0, std::numeric_limits<float>::max(), 1}));
  EXPECT_EQ(floats(clip(vec({1, 5}), Array(2.0), Array(4.0))), (Floats{2, 4}));
  EXPECT_TRUE(allclose(vec({kInf}), vec({kInf})).item<bool>());
  EXPECT_FALSE(allclose(vec({kInf}), vec({1})).item<bool>());
  EXPECT_TRUE(array_equal(vec({kNan}), vec({kNan}), true).item<bool>());
}

}  // namespace
}  // namespace plait
