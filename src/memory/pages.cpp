#include "memory/pages.h"

#include <sys/mman.h>
#include <time.h>

#include <algorithm>
#include <atomic>

#include "base/platform.h"

namespace plait::memory {
namespace {

// Reading the state of the machine costs some 50 us, so one reading serves requests of up to `kMaxCredit` together, for
// a while.
constexpr int64_t kMaxCredit = int64_t{64} << 20;
constexpr int64_t kCreditMs = 100;

constinit std::atomic<int64_t> mapped{0};
constinit std::atomic<int64_t> credit{0};
constinit std::atomic<int64_t> credit_until_ms{0};

int64_t now_ms() {
  timespec now;
  ::clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
  return now.tv_sec * 1000 + now.tv_nsec / 1'000'000;
}

// What we mapped and the system has not backed yet: it will be asked for without further notice. What others in the
// process hold beyond what they held at the start makes this too small; there is no cheap way to tell it apart.
int64_t promised_bytes() {
  const int64_t resident = platform::resident_anonymous_memory();
  static const int64_t others = std::max<int64_t>(0, resident - mapped.load(std::memory_order_relaxed));
  return std::max<int64_t>(0, mapped.load(std::memory_order_relaxed) - std::max<int64_t>(0, resident - others));
}

bool admitted(int64_t bytes) {
  if (now_ms() < credit_until_ms.load(std::memory_order_relaxed)) {
    int64_t left = credit.load(std::memory_order_relaxed);
    while (left >= bytes) {
      if (credit.compare_exchange_weak(left, left - bytes, std::memory_order_relaxed)) return true;
    }
  }
  const int64_t free = std::min(platform::free_memory(), platform::cgroup_memory_headroom());
  if (free == platform::kUnlimited) return true;
  const int64_t margin = std::min(free / 32, int64_t{256} << 20);  // page tables, other processes
  const int64_t left = free - margin - promised_bytes() - bytes;
  if (left < 0) return false;
  credit.store(std::min(left / 8, kMaxCredit), std::memory_order_relaxed);
  credit_until_ms.store(now_ms() + kCreditMs, std::memory_order_relaxed);
  return true;
}

void* map_anonymous(int64_t bytes) {
  void* data = ::mmap(nullptr, static_cast<size_t>(bytes), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  return data == MAP_FAILED ? nullptr : data;
}

}  // namespace

void* map_pages(int64_t bytes, bool huge) noexcept {
  if (!admitted(bytes)) return nullptr;
  char* data = nullptr;
  if (bytes < kHugePage) {
    data = static_cast<char*>(map_anonymous(bytes));
  } else if (char* wide = static_cast<char*>(map_anonymous(bytes + kHugePage))) {
    const auto address = reinterpret_cast<uintptr_t>(wide);
    const int64_t skip = static_cast<int64_t>((address + kHugePage - 1) / kHugePage * kHugePage - address);
    data = wide + skip;
    if (skip > 0) ::munmap(wide, static_cast<size_t>(skip));
    if (skip < kHugePage) ::munmap(data + bytes, static_cast<size_t>(kHugePage - skip));
    // Refused where there are none: then small pages serve.
    if (huge) ::madvise(data, static_cast<size_t>(bytes), MADV_HUGEPAGE);
  }
  if (data) mapped.fetch_add(bytes, std::memory_order_relaxed);
  return data;
}

void unmap_pages(void* data, int64_t bytes) noexcept {
  ::munmap(data, static_cast<size_t>(bytes));
  mapped.fetch_sub(bytes, std::memory_order_relaxed);
}

int64_t mapped_bytes() noexcept { return mapped.load(std::memory_order_relaxed); }

}  // namespace plait::memory
