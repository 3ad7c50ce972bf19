// Every operator new of a process, of which one, or all, fail from a given one on. Linked into the tests of src/transforms
// (allocation_failure_test.cpp), and preloaded into processes of Python (python/test_failing_new.py).
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <new>

namespace {

std::atomic<int64_t> left{-1};  // allocations until one fails; negative: none fails
std::atomic<bool> all_after{false};
std::atomic<int64_t> failures{0};

bool fails_now() {
  int64_t seen = left.load(std::memory_order_relaxed);
  while (seen >= 0) {
    const bool stays = seen == 0 && all_after.load(std::memory_order_relaxed);
    if (stays || left.compare_exchange_weak(seen, seen - 1)) {
      if (seen == 0) failures.fetch_add(1);
      return seen == 0;
    }
  }
  return false;
}

void* allocated(size_t bytes, size_t alignment) {
  if (fails_now()) return nullptr;
  return alignment <= alignof(std::max_align_t)
             ? std::malloc(bytes ? bytes : 1)
             : std::aligned_alloc(alignment, (bytes + alignment - 1) / alignment * alignment);
}

void* allocated_or_throw(size_t bytes, size_t alignment) {
  void* data = allocated(bytes, alignment);
  if (data == nullptr) throw std::bad_alloc();
  return data;
}

}  // namespace

/// The allocation after the next `count` ones fails, and with `all` those that follow it; a negative count disarms.
extern "C" void fail_new(int64_t count, int all) {
  all_after.store(all != 0);
  left.store(count);
}
/// What is left to count.
extern "C" int64_t news_left() { return left.load(); }
/// How many failed so far, in the whole process.
extern "C" int64_t news_failed() { return failures.load(); }

// All forms, so that each is paired with its own delete.
void* operator new(size_t bytes) { return allocated_or_throw(bytes, 1); }
void* operator new[](size_t bytes) { return allocated_or_throw(bytes, 1); }
void* operator new(size_t bytes, std::align_val_t at) { return allocated_or_throw(bytes, static_cast<size_t>(at)); }
void* operator new[](size_t bytes, std::align_val_t at) { return allocated_or_throw(bytes, static_cast<size_t>(at)); }
void* operator new(size_t bytes, const std::nothrow_t&) noexcept { return allocated(bytes, 1); }
void* operator new[](size_t bytes, const std::nothrow_t&) noexcept { return allocated(bytes, 1); }
void operator delete(void* data) noexcept { std::free(data); }
void operator delete[](void* data) noexcept { std::free(data); }
void operator delete(void* data, size_t) noexcept { std::free(data); }
void operator delete[](void* data, size_t) noexcept { std::free(data); }
void operator delete(void* data, std::align_val_t) noexcept { std::free(data); }
void operator delete[](void* data, std::align_val_t) noexcept { std::free(data); }
void operator delete(void* data, size_t, std::align_val_t) noexcept { std::free(data); }
void operator delete[](void* data, size_t, std::align_val_t) noexcept { std::free(data); }
void operator delete(void* data, const std::nothrow_t&) noexcept { std::free(data); }
void operator delete[](void* data, const std::nothrow_t&) noexcept { std::free(data); }
