#include "memory/buffer.h"

#include <gtest/gtest.h>

#include <thread>
#include <vector>

#include "plait/error.h"
#include "plait/memory.h"

namespace plait {
namespace {

TEST(Buffer, HoldsABlockUntilTheLastReference) {
  const int64_t before = active_memory();
  Ref<Buffer> buffer = allocate(1000);
  EXPECT_EQ(buffer->bytes(), 1000);
  EXPECT_GE(buffer->capacity(), 1000);
  EXPECT_EQ(active_memory(), before + buffer->capacity());
  static_cast<char*>(buffer->data())[999] = 1;
  Ref<Buffer> other = buffer;
  buffer.reset();
  EXPECT_GT(active_memory(), before);
  other.reset();
  EXPECT_EQ(active_memory(), before);
  EXPECT_LE(sizeof(Buffer), 64u);
}

TEST(Buffer, WithoutBytes) {
  const Ref<Buffer> buffer = allocate(0);
  EXPECT_NE(buffer->data(), nullptr);
  EXPECT_EQ(buffer->bytes(), 0);
}

TEST(Buffer, FailingToAllocateLosesNothing) {
  const int64_t before = active_memory();
  EXPECT_THROW((void)allocate(int64_t{1} << 62), OutOfMemory);
  EXPECT_EQ(active_memory(), before);
}

int deleted = 0;
std::vector<std::pair<ForeignDeleter, void*>> queue;

TEST(Buffer, ForeignMemoryIsReleasedThroughTheHook) {
  int data = 7;
  deleted = 0;
  const auto deleter = [](void* context) { deleted += *static_cast<int*>(context); };
  {
    const Ref<Buffer> buffer = Buffer::adopt_foreign(&data, 4, false, deleter, &data);
    EXPECT_TRUE(buffer->foreign());
    EXPECT_FALSE(buffer->writable());
    EXPECT_EQ(buffer->data(), &data);
    EXPECT_FALSE(buffer->try_claim_donation());
  }
  EXPECT_EQ(deleted, 7);
  set_foreign_release_hook([](ForeignDeleter d, void* context) { queue.emplace_back(d, context); });
  Buffer::adopt_foreign(&data, 4, true, deleter, &data).reset();
  set_foreign_release_hook(nullptr);
  EXPECT_EQ(deleted, 7);
  ASSERT_EQ(queue.size(), 1u);
  queue[0].first(queue[0].second);
  EXPECT_EQ(deleted, 14);
}

TEST(Buffer, ViewsAndDonationExcludeEachOther) {
  const Ref<Buffer> buffer = allocate(8);
  EXPECT_TRUE(buffer->add_view());
  EXPECT_TRUE(buffer->add_view());
  EXPECT_TRUE(buffer->user_visible());
  EXPECT_FALSE(buffer->try_claim_donation());
  buffer->remove_view();
  buffer->remove_view();
  EXPECT_FALSE(buffer->user_visible());
  EXPECT_TRUE(buffer->try_claim_donation());
  EXPECT_FALSE(buffer->try_claim_donation());
  EXPECT_FALSE(buffer->add_view());
  buffer->end_donation();
  EXPECT_TRUE(buffer->add_view());
  buffer->remove_view();
}

TEST(Buffer, OneClaimantWins) {
  const Ref<Buffer> buffer = allocate(8);
  std::atomic<int> winners{0};
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&] {
      if (buffer->try_claim_donation()) ++winners;
    });
  }
  for (auto& thread : threads) thread.join();
  EXPECT_EQ(winners, 1);
}

}  // namespace
}  // namespace plait
