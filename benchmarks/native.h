// What the C++ yardsticks share: two threads' worth of work split evenly, large buffers, and the line protocol of
// worker.py.
#pragma once

#include <sys/mman.h>

#include <atomic>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <thread>
#include <vector>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace yardstick {

/// Zeroed floats on huge pages where the system gives them, touched once so that no page fault is measured.
inline std::span<float> floats(int64_t count) {
  constexpr int64_t kHuge = int64_t{2} << 20;
  const int64_t bytes = (count * int64_t{sizeof(float)} + kHuge - 1) / kHuge * kHuge;
  void* memory = std::aligned_alloc(kHuge, static_cast<size_t>(bytes));
  if (memory == nullptr) std::abort();
  madvise(memory, static_cast<size_t>(bytes), MADV_HUGEPAGE);
  const std::span<float> made(static_cast<float*>(memory), static_cast<size_t>(count));
  for (float& value : made) value = 0.0F;
  return made;  // lives as long as the process
}

/// Threads that wait for the next piece of work; the caller is the first of them.
class Team {
 public:
  explicit Team(int threads) : size_(threads) {
    for (int i = 1; i < threads; ++i) threads_.emplace_back([this, i] { work(i); });
  }
  Team(const Team&) = delete;
  Team& operator=(const Team&) = delete;
  ~Team() {
    task_ = nullptr;
    begin_round();
    for (std::thread& thread : threads_) thread.join();
  }

  /// Calls task(part) for every part below size(), each on its own thread, and returns when all have returned.
  void run(const std::function<void(int)>& task) {
    task_ = &task;
    left_.store(size_ - 1);
    begin_round();
    task(0);
    while (left_.load(std::memory_order_acquire) != 0) pause();
  }
  int size() const { return size_; }

 private:
  static void pause() {
#if defined(__x86_64__)
    _mm_pause();
#endif
  }
  void begin_round() {
    round_.fetch_add(1, std::memory_order_release);
    round_.notify_all();
  }
  void work(int part) {
    for (uint32_t seen = 0;;) {
      for (int spin = 0; spin < 20000 && round_.load(std::memory_order_acquire) == seen; ++spin) pause();
      round_.wait(seen, std::memory_order_acquire);
      ++seen;
      if (task_ == nullptr) return;
      (*task_)(part);
      left_.fetch_sub(1, std::memory_order_release);
    }
  }
  int size_;
  const std::function<void(int)>* task_ = nullptr;
  std::atomic<uint32_t> round_{0};
  std::atomic<int> left_{0};
  std::vector<std::thread> threads_;
};

/// The part-th of `parts` ranges of `count` elements, cut at multiples of `grain`.
inline std::pair<int64_t, int64_t> share(int64_t count, int part, int parts, int64_t grain) {
  const int64_t grains = (count + grain - 1) / grain;
  return {std::min(count, grains * part / parts * grain), std::min(count, grains * (part + 1) / parts * grain)};
}

template <typename Call>
double seconds_of(Call&& call) {
  const auto start = std::chrono::steady_clock::now();
  call();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

inline int refuse(const char* kind, const std::string& why) {
  std::printf("{\"%s\": \"%s\"}\n", kind, why.c_str());
  return 0;
}

/// Tells that the yardstick is ready, then answers each line "run N" with the seconds of one of N calls.
template <typename Call>
int serve(const std::string& version, Call&& call) {
  call();
  std::printf("{\"ready\": \"%s\", \"seconds\": %.9g}\n", version.c_str(), seconds_of(call));
  std::fflush(stdout);
  for (int calls = 0; std::scanf(" run %d", &calls) == 1;) {
    call();  // other sides ran in between: caches and threads are cold
    const double seconds = seconds_of([&] {
      for (int i = 0; i < calls; ++i) call();
    });
    std::printf("{\"seconds\": %.9g}\n", seconds / calls);
    std::fflush(stdout);
  }
  return 0;
}

}  // namespace yardstick
