#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "plait/more_ops.h"
#include "plait/ops.h"

namespace plait {
namespace {

Array ints(std::vector<int32_t> v) { return Array::from<int32_t>(v, {static_cast<int64_t>(v.size())}); }
using Ints = std::vector<int32_t>;
using Counts = std::vector<uint32_t>;

TEST(Unique, ValuesPlacesAndCounts) {
  const Arrays u = unique(ints({3, 1, 1, 2, 3, 3}), 5, true, true, true);
  EXPECT_EQ(u[0].to_vector<int32_t>(), (Ints{1, 2, 3, 1, 1}));
  EXPECT_EQ(u[1].to_vector<uint32_t>(), (Counts{1, 3, 0, 1, 1}));
  EXPECT_EQ(u[2].to_vector<uint32_t>(), (Counts{2, 0, 0, 1, 2, 2}));
  EXPECT_EQ(u[3].to_vector<int32_t>(), (Ints{2, 1, 3, 0, 0}));
  EXPECT_EQ(unique(ints({3, 1, 2}), 2)[0].to_vector<int32_t>(), (Ints{1, 2}));
  EXPECT_EQ(unique(ints({3, 1, 3}), 4, false, false, false, Array(-1))[0].to_vector<int32_t>(), (Ints{1, 3, -1, -1}));
  EXPECT_THROW(unique(ints({}), 2), ArgumentError);
}

TEST(Median, MiddleOfRows) {
  const Array a = reshape(arange(0.0, 6.0), {2, 3});
  EXPECT_EQ(median(a).item<float>(), 2.5f);
  EXPECT_EQ(median(a, 1).to_vector<float>(), (std::vector<float>{1, 4}));
  EXPECT_EQ(median(a, {0, 1}, true).shape(), (Shape{1, 1}));
  EXPECT_TRUE(std::isnan(
      median(Array::from<float>(std::vector<float>{1, std::numeric_limits<float>::quiet_NaN()}, {2})).item<float>()));
  EXPECT_THROW(median(zeros({0})), ShapeError);
}

}  // namespace
}  // namespace plait
