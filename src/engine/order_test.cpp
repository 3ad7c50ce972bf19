#include "engine/order.h"

#include <gtest/gtest.h>

#include "plait/error.h"

namespace plait::engine {
namespace {

using Order = std::vector<uint32_t>;

TEST(Order, IsTheOneWrittenWhereNothingSpeaksAgainstIt) {
  // 0 -> 1 -> 3, 2 on its own.
  const std::vector<Work> work{{.users = {1}, .takes = 1},
                               {.waits = 1, .users = {3}, .frees = {0}, .takes = 1},
                               {.takes = 1},
                               {.waits = 1, .frees = {1}, .takes = 1}};
  EXPECT_EQ(order_of(work, {1, 1}), (Order{0, 1, 2, 3}));
}

TEST(Order, TakesFirstWhatLeavesLessInUse) {
  // 3 needs a block of its own for what it makes of two, which then go.
  const std::vector<Work> work{
      {.users = {3}, .takes = 4}, {.users = {3}, .takes = 4}, {.takes = 1}, {.waits = 2, .frees = {0, 1}, .takes = 4}};
  EXPECT_EQ(order_of(work, {4, 4}), (Order{0, 1, 3, 2}));
}

TEST(Order, SharesABlockAmongThoseWhoReadIt) {
  // A cotangent (block 0) and an activation (block 1): the product that ends both goes before the next cotangent's users.
  const std::vector<Work> work{{.users = {1, 2, 3}, .takes = 4},
                               {.waits = 1, .frees = {0}, .takes = 4},  // the next cotangent
                               {.waits = 1, .frees = {0, 1}, .takes = 4},  // gradient of the weights
                               {.waits = 1, .frees = {0}, .takes = 0.1}};  // gradient of the bias
  EXPECT_EQ(order_of(work, {4, 4}), (Order{0, 2, 3, 1}));
}

TEST(Order, PutsDevicesFirst) {
  const std::vector<Work> work{{.takes = 1}, {.on_cpu = false, .takes = 1}, {.on_cpu = false, .takes = 1}};
  EXPECT_EQ(order_of(work, {}), (Order{1, 2, 0}));
}

TEST(Order, IsFastForABlockThatAllRead) {
  constexpr uint32_t kSteps = 100'000;
  std::vector<Work> work(kSteps, Work{.frees = {0}, .takes = 1});
  const Order order = order_of(work, {1});
  ASSERT_EQ(order.size(), kSteps);
  for (uint32_t u = 0; u < kSteps; ++u) ASSERT_EQ(order[u], u);
}

TEST(Order, RefusesACircle) {
  const std::vector<Work> work{{.waits = 1, .users = {1}}, {.waits = 1, .users = {0}}};
  EXPECT_THROW(order_of(work, {}), InternalError);
}

}  // namespace
}  // namespace plait::engine
