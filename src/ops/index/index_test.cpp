#include <gtest/gtest.h>

#include "ops/index/scatter.h"
#include "plait/more_ops.h"
#include "plait/ops.h"

namespace plait {
namespace {

Array numbers(const Shape& shape) { return reshape(arange(0.0, static_cast<double>(shape.count_value())), shape); }
Array ints(std::vector<int32_t> v) { return Array::from<int32_t>(v, {static_cast<int64_t>(v.size())}); }
std::vector<float> floats(const Array& a) { return a.to_vector<float>(); }
using Floats = std::vector<float>;

TEST(Index, Take) {
  const Array a = numbers({2, 3});
  EXPECT_EQ(floats(take(a, ints({-1, 0}), 1)), (Floats{2, 0, 5, 3}));
  EXPECT_EQ(floats(take(a, ints({1}), 0)), (Floats{3, 4, 5}));
  EXPECT_EQ(floats(take(a, ints({5, 0}))), (Floats{5, 0}));
  EXPECT_THROW(floats(take(a, ints({2}), 0)), IndexError);
  EXPECT_THROW(floats(take(a, ints({-3}), 0)), IndexError);
  EXPECT_EQ(take(a, ints({}), 0).size(), 0);
  EXPECT_EQ(floats(take_batched(a, reshape(ints({2, 0}), {2, 1}), 1)), (Floats{2, 3}));
}

TEST(Index, Along) {
  const Array a = numbers({2, 3});
  EXPECT_EQ(floats(take_along_axis(a, reshape(ints({2, 0, 1, 1}), {2, 2}), 1)), (Floats{2, 0, 4, 4}));
  EXPECT_EQ(floats(put_along_axis(a, reshape(ints({2, 0}), {2, 1}), Array(9.0), 1)), (Floats{0, 1, 9, 9, 4, 5}));
  EXPECT_EQ(floats(a), (Floats{0, 1, 2, 3, 4, 5})) << "the input is left alone";
}

TEST(Index, ScatterModes) {
  const Array a = numbers({3});
  const Array at = ints({1, 1, -1});
  const Array u = Array::from<float>(std::vector<float>{5, 2, 7}, {3});
  EXPECT_EQ(floats(scatter_rows(a, at, u, ScatterMode::set)), (Floats{0, 2, 7}));
  EXPECT_EQ(floats(scatter_rows(a, at, u, ScatterMode::add)), (Floats{0, 8, 9}));
  EXPECT_EQ(floats(scatter_rows(a, at, u, ScatterMode::multiply)), (Floats{0, 10, 14}));
  EXPECT_EQ(floats(scatter_rows(a, at, u, ScatterMode::maximum)), (Floats{0, 5, 7}));
  EXPECT_EQ(floats(scatter_rows(a, at, u, ScatterMode::minimum)), (Floats{0, 1, 2}));
  EXPECT_THROW(floats(scatter_rows(a, ints({3, 0, 0}), u, ScatterMode::set)), IndexError);
}

TEST(Index, ManyRowsAddUpInOrder) {
  const int64_t n = 1000, m = 200000;
  std::vector<int32_t> at(m);
  for (int64_t i = 0; i < m; ++i) at[i] = static_cast<int32_t>(i * 7919 % n);
  const auto sums = floats(scatter_rows(zeros({n}), ints(at), ones({m}), ScatterMode::add));
  for (float s : sums) EXPECT_EQ(s, 200);
}

TEST(Index, SlicesWithStartsThatAreArrays) {
  const Array a = numbers({3, 4});
  EXPECT_EQ(floats(slice(a, ints({1, 2}), {0, 1}, {1, 2})), (Floats{6, 7}));
  EXPECT_EQ(floats(slice_update(a, zeros({4}), ints({2}), 0)), (Floats{0, 1, 2, 3, 4, 5, 6, 7, 0, 0, 0, 0}));
  EXPECT_THROW(floats(slice(a, ints({3}), 1, {3, 2})), IndexError);
  EXPECT_THROW(slice(a, ints({3}), 1, {4, 2}), ShapeError);
}

}  // namespace
}  // namespace plait
