#include <gtest/gtest.h>

#include "engine/engine.h"
#include "plait/ops.h"
#include "plait/transforms.h"

namespace plait {
namespace {

using Doubles = std::vector<double>;
[[maybe_unused]] const auto engine_linked = engine::plan_cache_stats();

Array counted(const Shape& shape) {
  Doubles v(static_cast<size_t>(shape.count_value()));
  for (size_t i = 0; i < v.size(); ++i) v[i] = static_cast<double>(i);
  return Array::from<double>(v, shape);
}
Doubles values(const Array& a) { return a.to_vector<double>(); }

TEST(AsStrided, SeesTheElementsInRowMajorOrder) {
  EXPECT_EQ(values(as_strided(counted({6}), Shape{2, 2}, IntList{1, 2}, 1)), (Doubles{1, 3, 2, 4}));
  EXPECT_EQ(values(as_strided(counted({10}), Shape{3}, IntList{-2}, 9)), (Doubles{9, 7, 5}));
  EXPECT_EQ(values(as_strided(counted({4}), Shape{2, 2})), (Doubles{0, 1, 2, 3}));
  EXPECT_EQ(values(as_strided(transpose(counted({3, 4})), Shape{3}, IntList{2})), (Doubles{0, 8, 5}));
  EXPECT_EQ(values(as_strided(counted({2}), Shape{3, 2}, IntList{0, 1})), (Doubles{0, 1, 0, 1, 0, 1}));
  EXPECT_EQ(as_strided(counted({2}), Shape{0, 7}, IntList{5, 5}).size(), 0);
}

TEST(AsStrided, RefusesPlacesOutside) {
  EXPECT_THROW(as_strided(counted({6}), Shape{3, 3}, IntList{2, 1}, 2), ArgumentError);
  EXPECT_THROW(as_strided(counted({6}), Shape{2}, IntList{-1}, 0), ArgumentError);
  EXPECT_THROW(as_strided(counted({6}), Shape{2}, IntList{1, 1}), ArgumentError);
  EXPECT_THROW(as_strided(counted({0}), Shape{1}, IntList{1}), ArgumentError);
}

TEST(AsStrided, GradientsOfOverlapsAddUp) {
  const Function f = [](const Arrays& in) {
    const Array windows = as_strided(in[0], Shape{4, 3}, IntList{1, 1});
    return Arrays{sum(windows * counted({4, 3}), Axes(), false)};
  };
  EXPECT_EQ(values(grad(f)({counted({2, 3})})[0]), (Doubles{0, 1 + 3, 2 + 4 + 6, 5 + 7 + 9, 8 + 10, 11}));
  const Function window = [](const Arrays& in) { return Arrays{as_strided(in[0], Shape{2, 2}, IntList{2, 1}, 1)}; };
  EXPECT_EQ(values(jvp(window, {counted({6})}, {counted({6})}).second[0]), (Doubles{1, 2, 3, 4}));
  EXPECT_EQ(values(vmap(window)({counted({2, 6})})[0]), (Doubles{1, 2, 3, 4, 7, 8, 9, 10}));
  EXPECT_EQ(values(vmap(grad(f))({counted({2, 6})})[0]).size(), 12u);
}

}  // namespace
}  // namespace plait
