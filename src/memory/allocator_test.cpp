#include "memory/allocator.h"

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cstring>
#include <random>
#include <thread>
#include <vector>

#include "memory/pages.h"
#include "memory/size_class.h"
#include "plait/error.h"
#include "plait/fail_allocation.h"

namespace plait::memory {
namespace {

class Allocator : public testing::Test {
 protected:
  Allocator() {
    clear_cache();
    held_ = active_memory();
  }
  ~Allocator() override {
    EXPECT_EQ(active_memory(), held_);
    clear_cache();
    EXPECT_EQ(cache_memory(), 0);
  }
  int64_t held_;
};

TEST(SizeClass, WastesAtMostAnEighthAndIsMonotonous) {
  int last = 0;
  for (int64_t bytes = 1; bytes <= kMaxSmall; ++bytes) {
    const int c = size_class(bytes);
    const int64_t capacity = class_bytes(c);
    ASSERT_GE(capacity, bytes);
    ASSERT_EQ(capacity % kAlignment, 0);
    ASSERT_EQ(size_class(capacity), c);
    ASSERT_TRUE(c == last || c == last + 1);
    ASSERT_LE(capacity - bytes, std::max<int64_t>(63, bytes / 8)) << bytes;
    last = c;
  }
  EXPECT_EQ(last, kSmallClasses - 1);
}

TEST_F(Allocator, BlocksAreAlignedAndCounted) {
  for (const int64_t bytes :
       {int64_t{1}, int64_t{64}, int64_t{1000}, kMaxSmall, kMaxSmall + 1, int64_t{3} << 20, int64_t{70} << 20}) {
    const Block block = take_block(bytes);
    EXPECT_GE(block.capacity, bytes);
    EXPECT_LE(block.capacity - bytes, std::max<int64_t>(63, bytes / 8));
    EXPECT_EQ(reinterpret_cast<uintptr_t>(block.data) % (bytes >= kHugePage ? kHugePage : kAlignment), 0u);
    EXPECT_EQ(active_memory(), held_ + block.capacity);
    std::memset(block.data, 1, static_cast<size_t>(std::min<int64_t>(bytes, 1 << 20)));
    const int64_t cached = cache_memory();
    return_block(block);
    EXPECT_EQ(active_memory(), held_);
    EXPECT_EQ(cache_memory(), cached + block.capacity);
    clear_cache();
    EXPECT_EQ(cache_memory(), 0);
  }
}

TEST_F(Allocator, NoBytesAreABlockToo) {
  const Block block = take_block(0);
  EXPECT_NE(block.data, nullptr);
  EXPECT_EQ(active_memory(), held_);
  return_block(block);
}

TEST_F(Allocator, FreedBlocksComeBack) {
  for (const int64_t bytes : {int64_t{100}, int64_t{5000}, int64_t{20} << 20}) {
    const Block first = take_block(bytes);
    return_block(first);
    const Block second = take_block(bytes);
    EXPECT_EQ(first.data, second.data);
    return_block(second);
  }
  const Block large = take_block(int64_t{20} << 20);
  return_block(large);
  const Block fit = take_block(int64_t{17} << 20);
  EXPECT_EQ(fit.data, large.data);
  return_block(fit);
  const Block small = take_block(int64_t{10} << 20);
  EXPECT_NE(small.data, large.data);
  return_block(small);
}

TEST_F(Allocator, PeakIsTheMostAtOnce) {
  reset_peak_memory();
  EXPECT_EQ(peak_memory(), 0);
  const Block a = take_block(1 << 20);
  const Block b = take_block(1 << 10);
  return_block(a);
  const Block c = take_block(1 << 19);
  EXPECT_EQ(peak_memory(), held_ + a.capacity + b.capacity);
  return_block(b);
  return_block(c);
}

TEST_F(Allocator, CacheLimitDropsTheOldest) {
  const int64_t mib = int64_t{1} << 20;
  const int64_t old = set_cache_limit(5 * mib);
  EXPECT_EQ(cache_limit(), 5 * mib);
  const Block a = take_block(2 * mib), b = take_block(4 * mib), c = take_block(8 * mib);
  return_block(a);
  EXPECT_EQ(cache_memory(), 2 * mib);
  return_block(b);
  EXPECT_EQ(cache_memory(), 4 * mib);
  return_block(c);  // exceeds the limit alone
  EXPECT_EQ(cache_memory(), 4 * mib);
  EXPECT_EQ(set_cache_limit(0), 5 * mib);
  EXPECT_EQ(cache_memory(), 0);
  return_block(take_block(100));
  EXPECT_EQ(cache_memory(), 0);
  set_cache_limit(old);
}

TEST_F(Allocator, ClearingGivesPagesBack) {
  const int64_t before = mapped_bytes();
  std::vector<Block> blocks;
  for (int i = 0; i < 3000; ++i) blocks.push_back(take_block(1 + i * 37));
  EXPECT_GT(mapped_bytes(), before + (int64_t{100} << 20));
  for (const Block& block : blocks) return_block(block);
  clear_cache();
  EXPECT_LE(mapped_bytes(), before);
}

TEST_F(Allocator, TheLimitIsAnErrorAndNothingIsLost) {
  const int64_t mib = int64_t{1} << 20;
  const int64_t old = set_memory_limit(held_ + 10 * mib);
  const Block a = take_block(6 * mib);
  return_block(take_block(4 * mib));  // kept, then dropped to make room
  const Block b = take_block(3 * mib);
  try {
    take_block(2 * mib);
    FAIL();
  } catch (const OutOfMemory& error) {
    EXPECT_NE(error.info().got.find("2097152 bytes"), std::string::npos) << error.what();
    EXPECT_NE(error.info().accepts.find("1.0 MiB more"), std::string::npos) << error.what();
  }
  EXPECT_THROW(
      {
        std::vector<Block> blocks;
        try {
          while (true) blocks.push_back(take_block(1000));
        } catch (...) {
          EXPECT_GT(blocks.size(), 1000u);
          for (const Block& block : blocks) return_block(block);
          throw;
        }
      },
      OutOfMemory);
  EXPECT_EQ(active_memory(), held_ + 9 * mib);
  return_block(a);
  return_block(b);
  EXPECT_EQ(set_memory_limit(old), held_ + 10 * mib);
}

TEST_F(Allocator, ImpossibleSizesRaise) {
  const int64_t old = set_memory_limit(INT64_MAX);
  for (const int64_t bytes : {int64_t{1} << 45, int64_t{1} << 60, int64_t{1} << 62, INT64_MAX}) {
    EXPECT_THROW(take_block(bytes), OutOfMemory);
  }
  EXPECT_THROW(take_block(-1), InternalError);
  set_memory_limit(old);
}

TEST_F(Allocator, PromisedPagesCountBeforeTheyAreTouched) {
  const int64_t old = set_memory_limit(INT64_MAX);
  std::vector<Block> blocks;
  EXPECT_THROW(
      {
        for (int i = 0; i < 100000; ++i) blocks.push_back(take_block(int64_t{1} << 30));
      },
      OutOfMemory);
  for (const Block& block : blocks) return_block(block);
  set_memory_limit(0);
  EXPECT_THROW(take_block(1), OutOfMemory);
  set_memory_limit(old);
}

TEST_F(Allocator, FailsOnDemand) {
  EXPECT_EQ(debug::fail_allocation(2), -1);
  const Block a = take_block(10), b = take_block(int64_t{1} << 20);
  EXPECT_THROW(take_block(10), OutOfMemory);
  const Block c = take_block(10);
  EXPECT_EQ(debug::fail_allocation(0), -1);
  EXPECT_THROW(take_block(int64_t{1} << 20), OutOfMemory);
  debug::fail_allocation(0);
  EXPECT_EQ(debug::fail_allocation(-1), 0);
  const Block d = take_block(10);
  for (const Block& block : {a, b, c, d}) return_block(block);
}

// Each block is filled with its own number and checked before it is returned, often by another thread than the one that
// took it.
TEST_F(Allocator, NoTwoBlocksOverlap) {
  constexpr int kThreads = 4, kSlots = 500, kSteps = 20000;
  struct Slot {
    std::atomic<int> busy{0};
    Block block{nullptr, 0};
    unsigned char mark = 0;
  };
  std::vector<Slot> slots(kSlots);
  std::vector<std::thread> threads;
  const auto empty = [](Slot& slot) {
    if (!slot.block.data) return;
    const auto* bytes = static_cast<const unsigned char*>(slot.block.data);
    for (int64_t i = 0; i < slot.block.capacity; i += 61) ASSERT_EQ(bytes[i], slot.mark);
    return_block(slot.block);
    slot.block = {nullptr, 0};
  };
  for (int t = 0; t < kThreads; ++t) {
    threads.emplace_back([&, t] {
      std::mt19937 random(static_cast<unsigned>(t));
      for (int step = 0; step < kSteps; ++step) {
        Slot& slot = slots[random() % kSlots];
        if (slot.busy.exchange(1, std::memory_order_acquire)) continue;
        empty(slot);
        if (random() % 3) {
          const int power = static_cast<int>(random() % (random() % 50 ? 14 : 21));
          slot.block = take_block(1 + static_cast<int64_t>(random() % (1u << power)));
          slot.mark = static_cast<unsigned char>(random());
          auto* bytes = static_cast<unsigned char*>(slot.block.data);
          for (int64_t i = 0; i < slot.block.capacity; i += 61) bytes[i] = slot.mark;
        }
        if (step % 5000 == 4999) clear_cache();
        slot.busy.store(0, std::memory_order_release);
      }
    });
  }
  for (auto& thread : threads) thread.join();
  for (Slot& slot : slots) empty(slot);
}

TEST_F(Allocator, ForkWhileOtherThreadsAllocate) {
  std::atomic<bool> stop{false};
  std::vector<std::thread> threads;
  for (int t = 0; t < 2; ++t) {
    threads.emplace_back([&] {
      while (!stop) {
        return_block(take_block(kMaxSmall));
        return_block(take_block(int64_t{1} << 20));
      }
    });
  }
  for (int i = 0; i < 20; ++i) {
    const pid_t child = ::fork();
    if (child == 0) {
      ::alarm(20);
      for (int64_t bytes = 1; bytes < 1 << 22; bytes *= 2) return_block(take_block(bytes));
      clear_cache();
      ::_exit(0);
    }
    int status = 0;
    ::waitpid(child, &status, 0);
    EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0);
  }
  stop = true;
  for (auto& thread : threads) thread.join();
}

}  // namespace
}  // namespace plait::memory
