#include "plait/small_vector.h"

#include <gtest/gtest.h>

#include <memory>
#include <random>
#include <string>
#include <vector>

namespace plait {
namespace {

template <class T>
T value_of(int i);
template <>
int64_t value_of<int64_t>(int i) {
  return i;
}
template <>
std::string value_of<std::string>(int i) {
  return std::string(static_cast<size_t>(i % 40), 'x') + std::to_string(i);
}

template <class T>
struct SmallVectorOf : testing::Test {};
using Elements = testing::Types<int64_t, std::string>;
TYPED_TEST_SUITE(SmallVectorOf, Elements);

TYPED_TEST(SmallVectorOf, AgreesWithStdVector) {
  std::mt19937 random(7);
  for (int round = 0; round < 200; ++round) {
    SmallVector<TypeParam, 4> ours;
    std::vector<TypeParam> theirs;
    for (int step = 0; step < 60; ++step) {
      const int i = static_cast<int>(random() % 1000);
      const size_t at = theirs.empty() ? 0 : random() % (theirs.size() + 1);
      const TypeParam value = value_of<TypeParam>(i);
      switch (random() % 8) {
        case 0:
        case 1: ours.push_back(value), theirs.push_back(value); break;
        case 2:
          ours.insert(ours.begin() + at, value), theirs.insert(theirs.begin() + static_cast<ptrdiff_t>(at), value);
          break;
        case 3:
          if (at < theirs.size())
            ours.erase(ours.begin() + at), theirs.erase(theirs.begin() + static_cast<ptrdiff_t>(at));
          break;
        case 4: ours.resize(at + 2, value), theirs.resize(at + 2, value); break;
        case 5: {
          SmallVector<TypeParam, 4> copy = ours;
          ours = std::move(copy);
          break;
        }
        case 6: {
          SmallVector<TypeParam, 4> moved = std::move(ours);
          EXPECT_TRUE(ours.empty());
          ours = moved;
          break;
        }
        case 7:
          if (!theirs.empty()) ours.push_back(ours.front()), theirs.push_back(TypeParam(theirs.front()));
          break;
      }
      ASSERT_TRUE(std::equal(ours.begin(), ours.end(), theirs.begin(), theirs.end()));
    }
  }
}

TEST(SmallVector, StaysInlineUpToN) {
  SmallVector<int64_t, 4> v{1, 2, 3, 4};
  EXPECT_GE(reinterpret_cast<char*>(v.data()), reinterpret_cast<char*>(&v));
  EXPECT_LT(reinterpret_cast<char*>(v.data()), reinterpret_cast<char*>(&v + 1));
  v.push_back(5);
  EXPECT_EQ(v, (SmallVector<int64_t, 4>{1, 2, 3, 4, 5}));
  const std::span<const int64_t> seen = v;
  EXPECT_EQ(seen.size(), 5u);
  EXPECT_EQ(sizeof(v), 16u + 4 * 8);
}

TEST(SmallVector, HoldsMoveOnlyElements) {
  SmallVector<std::unique_ptr<int>, 2> v;
  for (int i = 0; i < 9; ++i) v.push_back(std::make_unique<int>(i));
  v.erase(v.begin());
  EXPECT_EQ(*v.front(), 1);
  EXPECT_EQ(v.size(), 8u);
  v.pop_back();
  auto w = std::move(v);
  EXPECT_EQ(*w.back(), 7);
}

TEST(SmallVector, RefusesImpossibleSizes) {
  SmallVector<int64_t, 2> v{7};
  EXPECT_THROW(v.resize(size_t{1} << 62), std::bad_alloc);
  EXPECT_EQ(v, (SmallVector<int64_t, 2>{7}));
}

}  // namespace
}  // namespace plait
