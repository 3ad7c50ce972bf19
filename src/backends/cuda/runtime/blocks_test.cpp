#include "backends/cuda/runtime/blocks.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <map>
#include <random>
#include <vector>

namespace plait {
namespace {

constexpr int64_t kMiB = int64_t{1} << 20;

// Addresses that nobody reads, up to a total.
class Counted final : public MemorySource {
 public:
  explicit Counted(int64_t total) : left_(total) {}
  void* map(int64_t bytes) override {
    if (bytes > left_) return nullptr;
    left_ -= bytes;
    ++mapped;
    char* const data = next_;
    next_ += bytes + kMiB;
    sizes_[data] = bytes;
    return data;
  }
  void unmap(void* data) noexcept override {
    left_ += sizes_.at(data);
    sizes_.erase(data);
    ++unmapped;
  }
  int mapped = 0;
  int unmapped = 0;

 private:
  int64_t left_;
  char* next_ = reinterpret_cast<char*>(uintptr_t{1} << 32);
  std::map<void*, int64_t> sizes_;
};

TEST(CudaBlocks, FreedMemoryIsUsedAgainByItsQueueOnly) {
  Counted source(1000 * kMiB);
  Blocks blocks(source, 1000 * kMiB);
  void* const first = blocks.allocate(0, 1000, 7);
  EXPECT_EQ(blocks.origin(first)->uses, 7u);
  EXPECT_EQ(blocks.origin(first)->free_after, 0u);
  blocks.release(first, 3);
  EXPECT_FALSE(blocks.origin(first));
  void* const other = blocks.allocate(1, 1000, 0);
  EXPECT_NE(other, first);
  void* const again = blocks.allocate(0, 1000, 8);
  EXPECT_EQ(again, first);
  EXPECT_EQ(blocks.origin(again)->free_after, 3u);
  EXPECT_EQ(source.mapped, 2);
}

TEST(CudaBlocks, NeighboursGrowTogether) {
  Counted source(1000 * kMiB);
  Blocks blocks(source, 1000 * kMiB);
  std::vector<void*> quarters;
  for (int i = 0; i < 4; ++i) quarters.push_back(blocks.allocate(0, kMiB / 2, 0));
  EXPECT_EQ(source.mapped, 1);
  for (int i : {1, 3, 0, 2}) blocks.release(quarters[static_cast<size_t>(i)], static_cast<uint64_t>(10 + i));
  void* const whole = blocks.allocate(0, kMiB, 0);
  EXPECT_EQ(whole, quarters[0]);
  EXPECT_EQ(blocks.origin(whole)->free_after, 13u);  // of its parts, the last
  EXPECT_EQ(source.mapped, 1);
}

TEST(CudaBlocks, LargeOnesAreCutWhenTheyComeBack) {
  Counted source(1000 * kMiB);
  Blocks blocks(source, 1000 * kMiB);
  blocks.release(blocks.allocate(0, 100 * kMiB, 0), 1);
  void* const a = blocks.allocate(0, 60 * kMiB, 0);
  void* const b = blocks.allocate(0, 40 * kMiB, 0);
  EXPECT_EQ(static_cast<char*>(b) - static_cast<char*>(a), 60 * kMiB);
  EXPECT_EQ(source.mapped, 1);
  blocks.release(a, 1);
  blocks.release(b, 1);
  blocks.clear();
  EXPECT_EQ(source.unmapped, 1);
  EXPECT_EQ(blocks.stats().cached, 0);
}

TEST(CudaBlocks, CountsAndLimits) {
  Counted source(100 * kMiB);
  Blocks blocks(source, 100 * kMiB);
  void* const one = blocks.allocate(0, 1, 0);
  EXPECT_EQ(blocks.stats().active, 512);
  EXPECT_EQ(blocks.stats().cached, 2 * kMiB - 512);
  EXPECT_EQ(blocks.stats().total, 100 * kMiB);
  void* const zero = blocks.allocate(0, 0, 0);
  EXPECT_NE(zero, nullptr);
  EXPECT_NE(zero, one);
  EXPECT_EQ(blocks.allocate(0, -1, 0), nullptr);
  EXPECT_EQ(blocks.allocate(0, INT64_MAX, 0), nullptr);
  blocks.release(zero, 1);
  blocks.release(one, 1);
  EXPECT_EQ(blocks.stats().peak, 1024);
  blocks.reset_peak();
  EXPECT_EQ(blocks.stats().peak, 0);

  blocks.set_limit(20 * kMiB);
  void* const most = blocks.allocate(0, 20 * kMiB, 0);
  EXPECT_NE(most, nullptr);
  EXPECT_EQ(blocks.allocate(0, 1, 0), nullptr);
  blocks.release(most, 1);
  EXPECT_EQ(blocks.stats().cached, 20 * kMiB);  // what was cached had to go
  blocks.set_limit(0);

  void* const first = blocks.allocate(0, 50 * kMiB, 0);
  EXPECT_EQ(blocks.allocate(1, 50 * kMiB, 0), nullptr);  // 20 MiB are cached for queue 0
  blocks.clear();
  EXPECT_NE(blocks.allocate(1, 50 * kMiB, 0), nullptr);
  blocks.set_cache_limit(0);
  blocks.release(first, 1);
  EXPECT_EQ(blocks.stats().cached, 0);
}

TEST(CudaBlocks, TheLastOfASmallDeviceIsFound) {
  Counted source(20 * kMiB);  // less than a segment for middling sizes
  Blocks blocks(source, 20 * kMiB);
  EXPECT_NE(blocks.allocate(0, 3 * kMiB, 0), nullptr);
  EXPECT_NE(blocks.allocate(0, 16 * kMiB, 0), nullptr);
}

TEST(CudaBlocks, NoTwoInUseOverlap) {
  Counted source(int64_t{1} << 40);
  Blocks blocks(source, int64_t{1} << 40);
  std::mt19937_64 random(1);
  struct Used {
    int64_t bytes;
    memory::Queue queue;
  };
  std::map<char*, Used> used;
  int64_t active = 0;
  for (int step = 0; step < 20000; ++step) {
    if (used.size() > 200 || (!used.empty() && random() % 2)) {
      auto at = used.lower_bound(reinterpret_cast<char*>((uintptr_t{1} << 32) + random() % (uintptr_t{1} << 33)));
      if (at == used.end()) at = used.begin();
      blocks.release(at->first, static_cast<uint64_t>(step));
      used.erase(at);
      continue;
    }
    const int64_t bytes = static_cast<int64_t>(random() % (uint64_t{1} << (4 + random() % 23)));
    const auto queue = static_cast<memory::Queue>(random() % 3);
    char* const data = static_cast<char*>(blocks.allocate(queue, bytes, 0));
    ASSERT_NE(data, nullptr);
    ASSERT_EQ(reinterpret_cast<uintptr_t>(data) % 256, 0u);
    const auto after = used.lower_bound(data);
    if (after != used.end()) {
      ASSERT_LE(data + bytes, after->first);
    }
    if (after != used.begin()) {
      ASSERT_LE(std::prev(after)->first + std::prev(after)->second.bytes, data);
    }
    used[data] = {bytes, queue};
  }
  for (const auto& [data, block] : used) active += block.bytes;
  EXPECT_GE(blocks.stats().active, active);
  for (const auto& [data, block] : used) blocks.release(data, 0);
  EXPECT_EQ(blocks.stats().active, 0);
  blocks.clear();
  EXPECT_EQ(blocks.stats().cached, 0);
  EXPECT_EQ(source.mapped, source.unmapped);
}

TEST(CudaBlocks, ExactOnesShareNothingAndGoAtOnce) {
  Counted source(1000 * kMiB);
  Blocks blocks(source, 1000 * kMiB, Blocks::Cut::none);
  void* const small = blocks.allocate(0, 3, 0);
  EXPECT_EQ(blocks.stats().active, 3);
  void* const other = blocks.allocate(0, 3 * kMiB + 1, 0);
  EXPECT_EQ(source.mapped, 2);
  EXPECT_EQ(blocks.stats().cached, 0);
  blocks.set_cache_limit(kMiB);  // nothing is kept all the same
  blocks.release(small, 1);
  EXPECT_EQ(source.unmapped, 1);
  blocks.release(other, 1);
  EXPECT_EQ(source.unmapped, 2);
  EXPECT_EQ(blocks.stats().active, 0);
  EXPECT_NE(blocks.allocate(0, 0, 0), nullptr);
}

TEST(CudaBlocks, MemoryOfARecordingGoesWithIt) {
  Counted source(1000 * kMiB);
  Blocks blocks(source, 1000 * kMiB);
  constexpr memory::Queue kNumber = Blocks::kFirstOfRecordings + 3;
  void* const kept = blocks.allocate(kNumber, kMiB / 2, 0);
  blocks.release(blocks.allocate(kNumber, kMiB / 4, 0), 0);
  blocks.release(blocks.allocate(kNumber, 20 * kMiB, 0), 0);
  blocks.set_cache_limit(0);
  blocks.clear();
  EXPECT_EQ(source.unmapped, 0);
  EXPECT_EQ(blocks.hold(kNumber), 22 * kMiB);
  EXPECT_EQ(blocks.stats().active, 22 * kMiB);
  blocks.clear();
  EXPECT_EQ(source.unmapped, 0);
  blocks.release(kept, 0);
  blocks.drop(kNumber);
  EXPECT_EQ(source.unmapped, 2);
  EXPECT_EQ(blocks.stats().active, 0);
  EXPECT_EQ(blocks.stats().cached, 0);
  blocks.drop(kNumber);

  blocks.set_cache_limit(100 * kMiB);
  void* const used = blocks.allocate(kNumber, 1000, 0);
  blocks.release(blocks.allocate(kNumber, 1000, 0), 0);
  blocks.adopt(kNumber, 5);
  blocks.release(used, 0);
  EXPECT_EQ(blocks.allocate(5, kMiB, 0), used);
}

}  // namespace
}  // namespace plait
