#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <numeric>
#include <random>

#include "backends/order.h"
#include "base/dispatch.h"
#include "plait/more_ops.h"
#include "plait/ops.h"

namespace plait {
namespace {

/// Elements of few or many different values, with the dtype's extremes, NaN and both zeros among them.
template <class T>
std::vector<T> elements(int64_t n, bool few) {
  std::mt19937_64 random(static_cast<uint64_t>(n) + few);
  std::vector<T> v(static_cast<size_t>(n));
  for (auto&& x : v) {
    const auto bits = static_cast<int64_t>(random());
    if constexpr (std::is_same_v<T, bool>) {
      x = bits & 1;
    } else if constexpr (std::is_integral_v<T>) {
      x = static_cast<T>(few ? bits % 7 : bits);
    } else {
      const float f =
          few ? static_cast<float>(bits % 4) * 0.0f + static_cast<float>(bits % 3) : static_cast<float>(bits) * 1e-15f;
      const float y = bits % 50 == 0 ? NAN : f;
      if constexpr (kIsHalf<T>)
        x = T::from(y);
      else if constexpr (std::is_same_v<T, std::complex<float>>)
        x = {f, static_cast<float>(bits % 5)};
      else
        x = y;
    }
  }
  return v;
}

template <class T>
void check(int64_t n, bool few) {
  std::vector<T> v = elements<T>(n, few);
  std::vector<char> bytes(v.size() * sizeof(T));
  for (size_t i = 0; i < v.size(); ++i) {
    const T x = v[i];
    std::memcpy(bytes.data() + i * sizeof(T), &x, sizeof x);
  }
  DType d = DType::bool_;
  for (int k = 0; k < kDTypeCount; ++k)
    dispatch(static_cast<DType>(k), [&]<class U>() {
      if (std::is_same_v<T, U>) d = static_cast<DType>(k);
    });
  const Array a = Array::from_bytes(bytes.data(), static_cast<int64_t>(bytes.size()), {n}, d);
  std::vector<uint32_t> at(v.size());
  std::iota(at.begin(), at.end(), 0u);
  std::stable_sort(at.begin(), at.end(), [&](uint32_t i, uint32_t j) { return in_order<T>(v[i], v[j]); });
  const auto got = argsort(a, 0).to_vector<uint32_t>();
  ASSERT_EQ(got, at) << name_of(d) << " " << n;
  const Array sorted = sort(a, 0), picked = take_along_axis(a, argsort(a, 0), 0);
  const Array same =
      logical_or(equal(sorted, picked), logical_and(not_equal(sorted, sorted), not_equal(picked, picked)));
  EXPECT_EQ(n == 0 ? true : min(same, Axes(), false).item<bool>(), true) << name_of(d) << " " << n;
  const int64_t k = n / 10;
  const Array top = topk(a, k, 0), tail = take(sorted, arange(n - k, n), 0);
  if (k > 0) {
    EXPECT_TRUE(min(logical_or(equal(top, tail), not_equal(tail, tail)), Axes(), false).item<bool>())
        << name_of(d) << " " << n;
  }
}

TEST(Sort, EveryDtypeAndLength) {
  for (const int64_t n : {0, 1, 2, 63, 300, 301, 5000, 400000})
    for (const bool few : {false, true})
      for (int k = 0; k < kDTypeCount; ++k) {
        if (n > 5000 && k % 3 != 0) continue;
        dispatch(static_cast<DType>(k), [&]<class T>() { check<T>(n, few); });
      }
}

TEST(Sort, NegativeZeroIsEqualToZero) {
  const Array a = Array::from<float>(std::vector<float>{0.0f, -0.0f, 0.0f, -0.0f, -1.0f}, {5});
  EXPECT_EQ(argsort(a, 0).to_vector<uint32_t>(), (std::vector<uint32_t>{4, 0, 1, 2, 3}));
}

TEST(Sort, RowsAndColumns) {
  const Array a = Array::from<int32_t>(std::vector<int32_t>{3, 1, 2, 0, 5, 4}, {2, 3});
  EXPECT_EQ(sort(a, 1).to_vector<int32_t>(), (std::vector<int32_t>{1, 2, 3, 0, 4, 5}));
  EXPECT_EQ(sort(a, 0).to_vector<int32_t>(), (std::vector<int32_t>{0, 1, 2, 3, 5, 4}));
  EXPECT_EQ(sort(a, std::nullopt).to_vector<int32_t>(), (std::vector<int32_t>{0, 1, 2, 3, 4, 5}));
  EXPECT_EQ(topk(a, 1, 0).to_vector<int32_t>(), (std::vector<int32_t>{3, 5, 4}));
  EXPECT_THROW(sort(a, 2), AxisError);
  EXPECT_THROW(topk(a, 4, 1), ArgumentError);
  EXPECT_THROW(partition(a, 3, 1), ArgumentError);
}

TEST(Searchsorted, BothSides) {
  const Array a = Array::from<float>(std::vector<float>{1, 2, 2, 3}, {4}),
              x = Array::from<float>(std::vector<float>{2, 0, 9, NAN}, {2, 2});
  EXPECT_EQ(searchsorted(a, x, "left").to_vector<uint32_t>(), (std::vector<uint32_t>{1, 0, 4, 4}));
  EXPECT_EQ(searchsorted(a, x, "right").to_vector<uint32_t>(), (std::vector<uint32_t>{3, 0, 4, 4}));
  EXPECT_THROW(searchsorted(a, x, "mid"), ArgumentError);
  EXPECT_THROW(searchsorted(x, a, "left"), ShapeError);
}

}  // namespace
}  // namespace plait
