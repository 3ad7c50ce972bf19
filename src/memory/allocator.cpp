#include "memory/allocator.h"

#include <algorithm>
#include <atomic>
#include <cstdio>
#include <map>
#include <mutex>
#include <optional>
#include <string>

#include "base/fork.h"
#include "base/platform.h"
#include "memory/pages.h"
#include "memory/poison.h"
#include "memory/size_class.h"
#include "memory/slabs.h"
#include "plait/error.h"
#include "plait/fail_allocation.h"

namespace plait {
namespace memory {
namespace {

constexpr int64_t kNever = int64_t{1} << 60;  // no machine has this much; larger sizes could overflow when rounded

// Small blocks are counted apart, so that each operation on one changes a single counter.
struct alignas(64) Counts {
  std::atomic<int64_t> small{0};  // bytes of small blocks in use
  std::atomic<int64_t> small_mark{
      0};  // the most of those at once since the cache was cleared: the rest is kept for reuse
  std::atomic<int64_t> large{0};
  std::atomic<int64_t> peak{0};
  std::atomic<int64_t> gate{0};  // above this, look closer: the memory limit, or -1 to look always
};
constinit Counts counts;

struct Limits {
  std::atomic<int64_t> memory{-1};  // negative: not decided yet
  std::atomic<int64_t> cache{-1};
  std::atomic<int64_t> until_failure{-1};
};
constinit Limits limits;

struct Kept {
  void* data;
  uint64_t freed;  // serial number
};
struct LargeCache {
  using BySize = std::multimap<int64_t, Kept>;

  void add(Block block) {  // strong: on bad_alloc nothing has changed
    const auto at = blocks.emplace(block.capacity, Kept{block.data, ++serial});
    try {
      by_age.emplace(serial, at);
    } catch (...) {
      blocks.erase(at);
      throw;
    }
    bytes.fetch_add(block.capacity, std::memory_order_relaxed);
  }
  Block remove(BySize::iterator at) noexcept {
    const Block block{at->second.data, at->first};
    by_age.erase(at->second.freed);
    blocks.erase(at);
    bytes.fetch_sub(block.capacity, std::memory_order_relaxed);
    return block;
  }

  std::mutex mutex;
  BySize blocks;
  std::map<uint64_t, BySize::iterator> by_age;
  std::atomic<int64_t> bytes{0};
  uint64_t serial = 0;
};
LargeCache& large_cache() {
  static auto* cache = new LargeCache;  // never destroyed: blocks come back after static destructors ran
  return *cache;
}

void raise_to(std::atomic<int64_t>& most, int64_t value) noexcept {
  int64_t seen = most.load(std::memory_order_relaxed);
  while (seen < value && !most.compare_exchange_weak(seen, value, std::memory_order_relaxed)) {}
}

int64_t small_kept() noexcept {
  return std::max<int64_t>(
      0, counts.small_mark.load(std::memory_order_relaxed) - counts.small.load(std::memory_order_relaxed));
}
void forget_small_kept() noexcept {
  release_small();
  counts.small_mark.store(counts.small.load(std::memory_order_relaxed), std::memory_order_relaxed);
}

void set_gate() noexcept {
  counts.gate.store(limits.until_failure.load() >= 0 ? -1 : memory_limit(), std::memory_order_relaxed);
}

// `counted`: bytes that the failing request has added to the counts already.
[[noreturn, gnu::noinline]] void out_of_memory(int64_t asked, int64_t counted, const char* why,
                                               const std::string& accepts, const char* hint) {
  throw OutOfMemory({.op = "out of memory",
                     .got = std::to_string(asked) + " bytes (" + in_words(asked) + ") asked, " + why +
                            "; arrays hold " + in_words(active_memory() - counted) + ", " + in_words(cache_memory()) +
                            " are kept for reuse",
                     .accepts = accepts,
                     .hint = hint});
}
[[noreturn]] void over_limit(int64_t asked, int64_t counted) {
  const int64_t limit = memory_limit();
  const int64_t room = std::max<int64_t>(0, limit - (active_memory() - counted));
  out_of_memory(asked, counted, "more than the memory limit allows",
                "up to " + in_words(room) + " more (limit " + in_words(limit) + ")",
                "set_memory_limit raises the limit");
}
[[noreturn]] void none_left(int64_t asked, int64_t counted) {
  const int64_t free = std::min(platform::free_memory(), platform::cgroup_memory_headroom());
  out_of_memory(asked, counted, "more than this machine or container has left",
                free == platform::kUnlimited ? "" : "what fits into the " + in_words(free) + " that are free",
                "use smaller batches, or free arrays that are no longer needed");
}

void count_towards_failure(int64_t bytes, int64_t counted) {
  int64_t left = limits.until_failure.load(std::memory_order_relaxed);
  do {
    if (left < 0) return;
  } while (!limits.until_failure.compare_exchange_weak(left, left - 1));
  if (left > 0) return;
  set_gate();
  out_of_memory(bytes, counted, "and a test made it fail", "", "");
}

// The rare cases of a request that would bring the bytes in use to `total`.
[[gnu::noinline]] void look_closer(int64_t bytes, int64_t counted, int64_t total) {
  if (counts.gate.load(std::memory_order_relaxed) == 0) set_gate();  // the first allocation
  count_towards_failure(bytes, counted);
  if (total > memory_limit()) over_limit(bytes, counted);
}

// --- small blocks ---------------------------------------------------------------------------------------------------

Block take_small_block(int64_t bytes) {
  const int wanted = size_class(bytes);
  const int64_t capacity = class_bytes(wanted);
  const int64_t small = counts.small.fetch_add(capacity, std::memory_order_relaxed) + capacity;
  const int64_t total = small + counts.large.load(std::memory_order_relaxed);
  void* data = nullptr;
  try {
    if (total > counts.gate.load(std::memory_order_relaxed)) [[unlikely]]
      look_closer(bytes, capacity, total);
    data = take_small(wanted);
    if (!data) [[unlikely]] {
      clear_cache();
      data = take_small(wanted);
      if (!data) none_left(bytes, capacity);
    }
  } catch (...) {
    counts.small.fetch_sub(capacity, std::memory_order_relaxed);
    throw;
  }
  if (total > counts.peak.load(std::memory_order_relaxed)) raise_to(counts.peak, total);
  if (small > counts.small_mark.load(std::memory_order_relaxed)) raise_to(counts.small_mark, small);
  return {data, capacity};
}

// --- large blocks ---------------------------------------------------------------------------------------------------

// By eighths of a doubling up to 16 MiB, then by huge pages.
int64_t large_capacity(int64_t bytes) {
  if (bytes <= 8 * kHugePage) return class_bytes(size_class(bytes));
  return (bytes + kHugePage - 1) / kHugePage * kHugePage;
}

// The best fit among the kept blocks of up to `most` bytes.
std::optional<Block> take_kept(int64_t capacity, int64_t most) {
  LargeCache& cache = large_cache();
  const std::lock_guard lock(cache.mutex);
  const auto fit = cache.blocks.lower_bound(capacity);
  if (fit == cache.blocks.end() || fit->first > most) return std::nullopt;
  // Of equal ones the last in: its pages are most likely in a cache of the processor.
  return cache.remove(std::prev(cache.blocks.upper_bound(fit->first)));
}

// Unmaps the kept blocks that were freed longest ago until at most `target` bytes are left.
void trim_large(int64_t target) noexcept {
  LargeCache& cache = large_cache();
  while (true) {
    Block oldest;
    {
      const std::lock_guard lock(cache.mutex);
      if (cache.blocks.empty() || cache.bytes.load(std::memory_order_relaxed) <= target) return;
      oldest = cache.remove(cache.by_age.begin()->second);
    }
    unpoison(oldest.data, oldest.capacity);
    unmap_pages(oldest.data, oldest.capacity);
  }
}

Block map_large(int64_t bytes, int64_t capacity, int64_t in_use) {
  const int64_t room = memory_limit() - in_use;  // what may be kept for reuse beside it
  if (large_cache().bytes.load(std::memory_order_relaxed) > room) trim_large(std::max<int64_t>(0, room));
  void* data = map_pages(capacity);
  if (!data) {
    clear_cache();
    data = map_pages(capacity);
    if (!data) none_left(bytes, capacity);
  }
  return {data, capacity};
}

Block take_large_block(int64_t bytes) {
  if (bytes > kNever) none_left(bytes, 0);
  const int64_t capacity = large_capacity(bytes);
  // A larger kept block serves too if it wastes less than a quarter and does not break the limit where a new one would
  // not.
  const int64_t room = std::max(capacity, memory_limit() - active_memory());
  const std::optional<Block> kept = take_kept(capacity, std::min(room, capacity + capacity / 4));
  const int64_t added = kept ? kept->capacity : capacity;
  const int64_t large = counts.large.fetch_add(added, std::memory_order_relaxed) + added;
  const int64_t total = large + counts.small.load(std::memory_order_relaxed);
  try {
    if (total > counts.gate.load(std::memory_order_relaxed)) look_closer(bytes, added, total);
    const Block block = kept ? *kept : map_large(bytes, capacity, total);
    raise_to(counts.peak, total);
    unpoison(block.data, block.capacity);
    return block;
  } catch (...) {
    if (kept) {
      return_block(*kept);
    } else {
      counts.large.fetch_sub(added, std::memory_order_relaxed);
    }
    throw;
  }
}

void return_large_block(Block block) noexcept {
  counts.large.fetch_sub(block.capacity, std::memory_order_relaxed);
  const int64_t limit = cache_limit();
  if (block.capacity <= limit) {
    LargeCache& cache = large_cache();
    try {
      poison(block.data, block.capacity);
      const std::lock_guard lock(cache.mutex);
      cache.add(block);
      block.data = nullptr;
    } catch (const std::bad_alloc&) {  // no memory for the entry: give the block back instead
    }
  }
  if (block.data) {
    unpoison(block.data, block.capacity);
    unmap_pages(block.data, block.capacity);
  }
  const int64_t small = small_kept();
  if (large_cache().bytes.load(std::memory_order_relaxed) + small > limit)
    trim_large(std::max<int64_t>(0, limit - small));
}

// --- forks ----------------------------------------------------------------------------------------------------------

void lock_all() noexcept {
  memory_limit();  // its first call reads files behind a guard, which a child forked meanwhile would wait for in vain
  large_cache().mutex.lock();
  lock_small();
}
void unlock_all() noexcept {
  unlock_small();
  large_cache().mutex.unlock();
}
[[maybe_unused]] const bool fork_handlers = [] {
  at_fork(ForkOrder::memory, lock_all, unlock_all, unlock_all);
  return true;
}();

alignas(64) std::byte nothing[64];  // where blocks of no bytes are

}  // namespace

std::string in_words(int64_t bytes) {
  const char* const units[] = {"B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
  int unit = 0;
  double value = static_cast<double>(bytes);
  for (; value >= 1024 && unit < 6; ++unit) value /= 1024;
  char text[64];
  std::snprintf(text, sizeof text, unit == 0 ? "%.0f %s" : "%.1f %s", value, units[unit]);
  return text;
}

Block take_block(int64_t bytes) {
  check_internal(bytes >= 0, "a negative number of bytes was asked for");
  if (bytes == 0) return {nothing, 0};
  return bytes <= kMaxSmall ? take_small_block(bytes) : take_large_block(bytes);
}

void return_block(Block block) noexcept {
  if (block.capacity == 0) return;
  if (block.capacity > kMaxSmall) return return_large_block(block);
  counts.small.fetch_sub(block.capacity, std::memory_order_relaxed);
  return_small(block.data, size_class(block.capacity));
}

void count_device_allocation(int64_t bytes) {
  if (limits.until_failure.load(std::memory_order_relaxed) >= 0) count_towards_failure(bytes, 0);
}

}  // namespace memory

int64_t debug::fail_allocation(int64_t count) {
  const int64_t before = memory::limits.until_failure.exchange(std::max<int64_t>(count, -1));
  memory::set_gate();
  return before;
}

using namespace memory;  // NOLINT: this file implements both

int64_t active_memory() {
  return counts.small.load(std::memory_order_relaxed) + counts.large.load(std::memory_order_relaxed);
}

int64_t peak_memory() { return counts.peak.load(std::memory_order_relaxed); }
void reset_peak_memory() { counts.peak.store(0, std::memory_order_relaxed); }

int64_t cache_memory() {
  // Small blocks do not look at the limit when they are freed.
  if (small_kept() > cache_limit()) forget_small_kept();
  return large_cache().bytes.load(std::memory_order_relaxed) + small_kept();
}

void clear_cache() {
  trim_large(0);
  forget_small_kept();
}

int64_t memory_limit() {
  int64_t limit = limits.memory.load(std::memory_order_relaxed);
  if (limit < 0) {
    const int64_t chosen = std::min(platform::total_memory(), platform::cgroup_memory_limit());
    if (limits.memory.compare_exchange_strong(limit, chosen)) limit = chosen;
  }
  return limit;
}

int64_t set_memory_limit(int64_t bytes) {
  const int64_t old = memory_limit();
  limits.memory.store(std::max<int64_t>(0, bytes));
  set_gate();
  return old;
}

int64_t cache_limit() {
  const int64_t limit = limits.cache.load(std::memory_order_relaxed);
  return limit >= 0 ? limit : memory_limit() / 4;
}

int64_t set_cache_limit(int64_t bytes) {
  const int64_t old = cache_limit();
  limits.cache.store(std::max<int64_t>(0, bytes));
  trim_large(std::max<int64_t>(0, bytes - small_kept()));
  return old;
}

}  // namespace plait
