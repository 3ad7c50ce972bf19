#include "plait/random.h"

#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <set>
#include <thread>

#include "backends/threefry.h"
#include "base/interrupt.h"
#include "graph/node.h"
#include "plait/ops.h"

namespace plait {
namespace {

// Expected values: recorded from the interface that plait matches, for random.key(42).
const Array& key42() {
  static const Array key = random::key(42);
  return key;
}
std::vector<uint32_t> words(const Array& a) { return a.to_vector<uint32_t>(); }
void expect_bits(const Array& a, std::vector<uint32_t> bits, float ulps = 0) {
  const auto got = a.to_vector<float>();
  ASSERT_EQ(got.size(), bits.size());
  for (size_t i = 0; i < bits.size(); ++i) {
    const float want = std::bit_cast<float>(bits[i]);
    EXPECT_NEAR(got[i], want, std::abs(want) * ulps * 1.2e-7f) << i;
  }
}

TEST(Random, KeysHoldTheSeed) {
  EXPECT_EQ(words(random::key(42)), (std::vector<uint32_t>{0, 42}));
  EXPECT_EQ(words(random::key((uint64_t{1} << 40) + 7)), (std::vector<uint32_t>{256, 7}));
}

TEST(Random, SplitGivesRecordedKeys) {
  EXPECT_EQ(words(random::split(key42(), 2)), (std::vector<uint32_t>{2465931498, 3679230171, 255383827, 267815257}));
  EXPECT_EQ(words(random::split(key42(), 3)),
            (std::vector<uint32_t>{3134548294, 3733159049, 3746501087, 894150801, 801545058, 2363201431}));
  EXPECT_EQ(random::split(key42(), 0).shape(), (Shape{0, 2}));
}

TEST(Random, EveryLengthFollowsTheStream) {
  for (const int64_t n : {1, 2, 3, 7, 8, 33, 63, 64, 65, 127, 1000, 1001, 40000, 100003}) {
    const auto got = words(random::bits({n}, key42()));
    for (int64_t i = 0; i < n; ++i)
      ASSERT_EQ(got[static_cast<size_t>(i)], random_word({0, 42}, i, n)) << i << " of " << n;
  }
}

TEST(Random, UniformGivesRecordedNumbers) {
  expect_bits(random::uniform(0, 1, {8}, DType::float32, key42()),
              {0x3f3013af, 0x3f197e02, 0x3e87c887, 0x3e76f078, 0x3f434ede, 0x3e91d79b, 0x3d256f81, 0x3b5226af});
  expect_bits(random::uniform(-2, 3, {8}, DType::float32, key42()),
              {0x3fb83136, 0x3f7f7608, 0xbf2c8aae, 0xbf4b536a, 0x3fe8452c, 0xbf1364fc, 0xbfe62694, 0xbffdf29f});
}

TEST(Random, UniformStaysBelowHigh) {
  for (const DType d : {DType::float16, DType::bfloat16, DType::float32, DType::float64}) {
    const Array u = random::uniform(0, 1, {100000}, d, key42());
    EXPECT_LT(astype(max(u, Axes(), false), DType::float32).item<float>(), 1.0f) << static_cast<int>(d);
    EXPECT_GE(astype(min(u, Axes(), false), DType::float32).item<float>(), 0.0f);
  }
}

TEST(Random, MomentsOfTheNormalDistribution) {
  const Array x = random::normal({400000}, DType::float32, std::nullopt, std::nullopt, key42());
  EXPECT_NEAR(sum(x, Axes(), false).item<float>() / 400000, 0, 0.01);
  EXPECT_NEAR(sum(x * x, Axes(), false).item<float>() / 400000, 1, 0.01);
}

TEST(Random, StateFollowsRecordedSequence) {
  random::seed(0);
  expect_bits(random::uniform(0, 1, {4}), {0x3f5f568c, 0x3ee2d3a6, 0x3e8ddd80, 0x3f495e4b});
  expect_bits(random::uniform(0, 1, {4}), {0x3ef28393, 0x3f493a6a, 0x3f616f28, 0x3ec4450c});
  expect_bits(random::uniform(0, 1, {4}), {0x3c60d230, 0x3da12d3b, 0x3e9c13ce, 0x3edcc6d6});
  random::normal({4});
  EXPECT_EQ(words(random::state()), (std::vector<uint32_t>{1226047270, 2014510724}));
}

TEST(Random, StateThatIsNotComputedYetSplitsLazily) {
  random::seed(7);
  const auto eager = words(random::next_key());
  random::set_state(random::key(7) + Array(Scalar(0), DType::uint32));
  EXPECT_EQ(words(random::next_key()), eager);
}

TEST(Random, ThreadsGetKeysOfTheirOwn) {
  random::seed(1);
  std::vector<std::vector<std::vector<uint32_t>>> keys(4);
  std::vector<std::thread> threads;
  for (auto& own : keys)
    threads.emplace_back([&own] {
      for (int i = 0; i < 50; ++i) own.push_back(words(random::next_key()));
    });
  for (auto& t : threads) t.join();
  std::set<std::vector<uint32_t>> all;
  for (const auto& own : keys) all.insert(own.begin(), own.end());
  EXPECT_EQ(all.size(), 200u);
}

TEST(Random, ASignalHandlerMayDrawWhileAKeyIsComputed) {
  random::seed(7);
  const auto want = words(random::next_key());
  random::set_state(random::key(7) + Array(Scalar(0), DType::uint32));
  const PendingBudget budget = pending_budget();
  set_pending_budget({.nodes = 0});  // each operation is computed when it is made
  static int asked;
  asked = 0;
  set_interrupt_hook([] {
    ++asked;
    random::state();
  });
  std::vector<uint32_t> got;
  std::thread([&] { got = words(random::next_key()); }).join();  // a new thread, which looks for signals at once
  set_interrupt_hook(nullptr);
  set_pending_budget(budget);
  EXPECT_EQ(got, want);
  EXPECT_GT(asked, 0);
}

TEST(Random, RejectsWhatIsNoKey) {
  EXPECT_THROW(random::uniform(0, 1, {2}, DType::float32, Array::from<int32_t>(std::vector<int32_t>{1, 2}, {2})),
               ArgumentError);
  EXPECT_THROW(random::uniform(0, 1, {-2}), ShapeError);
  EXPECT_THROW(random::uniform(0, 1, {2}, DType::int32), DTypeError);
  EXPECT_THROW(random::bernoulli(Array(2)), DTypeError);
  EXPECT_THROW(random::set_state(Array(1)), ArgumentError);
}

}  // namespace
}  // namespace plait
