#include <gtest/gtest.h>

#include "engine/engine.h"
#include "plait/more_ops.h"
#include "plait/ops.h"

namespace plait {
namespace {

Array numbers(const Shape& shape) { return reshape(arange(0.0, static_cast<double>(shape.count_value())), shape); }
std::vector<float> floats(const Array& a) { return a.to_vector<float>(); }
using Floats = std::vector<float>;
[[maybe_unused]] const auto engine_linked = engine::plan_cache_stats();

TEST(Views, ConcatenateSplitAndStack) {
  const Array a = numbers({2, 3});
  EXPECT_EQ(floats(concatenate({a, transpose(numbers({3, 2}))}, 0)), (Floats{0, 1, 2, 3, 4, 5, 0, 2, 4, 1, 3, 5}));
  EXPECT_EQ(floats(concatenate({a, numbers({2, 1})}, 1)), (Floats{0, 1, 2, 0, 3, 4, 5, 1}));
  EXPECT_EQ(floats(stack({numbers({2}), numbers({2})}, 1)), (Floats{0, 0, 1, 1}));
  const Arrays parts = split(numbers({6}), std::vector<int64_t>{5, 2});
  EXPECT_EQ(floats(parts[0]), (Floats{0, 1, 2, 3, 4}));
  EXPECT_EQ(parts[1].size(), 0);
  EXPECT_EQ(floats(parts[2]), (Floats{2, 3, 4, 5}));
  EXPECT_EQ(floats(split(a, int64_t{3}, 1)[1]), (Floats{1, 4}));
  EXPECT_THROW(split(numbers({5}), int64_t{2}), ShapeError);
  EXPECT_THROW(concatenate({a, numbers({3, 2})}, 0), ShapeError);
}

TEST(Views, RepeatTileFlipPad) {
  const Array a = numbers({3});
  EXPECT_EQ(floats(repeat(a, 2)), (Floats{0, 0, 1, 1, 2, 2}));
  EXPECT_EQ(floats(tile(a, 2)), (Floats{0, 1, 2, 0, 1, 2}));
  EXPECT_EQ(tile(a, {2, 1}).shape(), (Shape{2, 3}));
  EXPECT_EQ(floats(flip(numbers({2, 2}), 1)), (Floats{1, 0, 3, 2}));
  EXPECT_EQ(floats(pad(a, {{1, 2}})), (Floats{0, 0, 1, 2, 0, 0}));
  EXPECT_EQ(floats(pad(numbers({2, 2}), {{0, 1}, {1, 0}}, "constant", Array(9.0))),
            (Floats{9, 0, 1, 9, 2, 3, 9, 9, 9}));
  EXPECT_EQ(floats(pad(a, {{2, 2}}, "edge")), (Floats{0, 0, 0, 1, 2, 2, 2}));
  EXPECT_EQ(floats(pad(a, {{5, 5}}, "reflect")), (Floats{1, 0, 1, 2, 1, 0, 1, 2, 1, 0, 1, 2, 1}));
  EXPECT_EQ(floats(pad(a, {{2, 2}}, "symmetric")), (Floats{1, 0, 0, 1, 2, 2, 1}));
}

TEST(Views, BitsOfAnotherDtype) {
  const Array a = view(Array::from<float>(std::vector<float>{1}, {1}), DType::int32);
  EXPECT_EQ(a.to_vector<int32_t>(), std::vector<int32_t>{1065353216});
  const Array b = view(astype(arange(1, 3), DType::int32), DType::int16);
  EXPECT_EQ(b.to_vector<int16_t>(), (std::vector<int16_t>{1, 0, 2, 0}));
  EXPECT_EQ(view(transpose(view(b, DType::int32)), DType::int16).to_vector<int16_t>(),
            (std::vector<int16_t>{1, 0, 2, 0}));
  const Array t = transpose(reshape(astype(arange(8), DType::int16), {2, 4}));
  EXPECT_EQ(view(t, DType::int32).to_vector<int32_t>(),
            (std::vector<int32_t>{4 << 16, 1 | 5 << 16, 2 | 6 << 16, 3 | 7 << 16}));
  EXPECT_THROW(view(Array::from<int16_t>(std::vector<int16_t>{1, 2, 3}, {3}), DType::int32), ShapeError);
}

TEST(Views, AxesMoved) {
  EXPECT_EQ(moveaxis(numbers({2, 3, 4}), 0, -1).shape(), (Shape{3, 4, 2}));
  EXPECT_EQ(swapaxes(numbers({2, 3, 4}), 0, 2).shape(), (Shape{4, 3, 2}));
  EXPECT_EQ(flatten(numbers({2, 3, 4}), 1, 2).shape(), (Shape{2, 12}));
  EXPECT_EQ(unflatten(numbers({2, 6}), 1, {3, -1}).shape(), (Shape{2, 3, 2}));
  EXPECT_EQ(atleast_3d({numbers({2})})[0].shape(), (Shape{1, 2, 1}));
}

TEST(Views, DiagonalsRollsAndGrids) {
  EXPECT_EQ(floats(diagonal(numbers({3, 4}))), (Floats{0, 5, 10}));
  EXPECT_EQ(floats(diagonal(numbers({3, 4}), -1)), (Floats{4, 9}));
  EXPECT_EQ(floats(diagonal(numbers({2, 3, 3}), 1, 1, 2)), (Floats{1, 5, 10, 14}));
  EXPECT_EQ(diagonal(numbers({3, 3}), 5).size(), 0);
  EXPECT_EQ(floats(diag(numbers({2}), 1)), (Floats{0, 0, 0, 0, 0, 1, 0, 0, 0}));
  EXPECT_EQ(floats(diag(numbers({2}), -1)), (Floats{0, 0, 0, 0, 0, 0, 0, 1, 0}));
  EXPECT_EQ(trace(numbers({3, 3})).item<float>(), 12);
  EXPECT_EQ(floats(roll(numbers({4}), -9)), (Floats{1, 2, 3, 0}));
  EXPECT_EQ(floats(roll(numbers({2, 2}), {1, 1}, {0, 1})), (Floats{3, 2, 1, 0}));
  const Arrays grid = meshgrid({numbers({2}), numbers({3})});
  EXPECT_EQ(floats(grid[0]), (Floats{0, 1, 0, 1, 0, 1}));
  EXPECT_EQ(floats(grid[1]), (Floats{0, 0, 1, 1, 2, 2}));
  EXPECT_EQ(floats(kron(numbers({2}), ones({2}))), (Floats{0, 0, 1, 1}));
  EXPECT_EQ(floats(diff(numbers({3, 2}), 1, 0)), (Floats{2, 2, 2, 2}));
  EXPECT_EQ(floats(bartlett(5)), (Floats{0, 0.5, 1, 0.5, 0}));
}

}  // namespace
}  // namespace plait
