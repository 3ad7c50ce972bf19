#pragma once

#include <atomic>
#include <mutex>

namespace plait {

/// What is done by the first thread that needs it, while others wait. Where it throws, the next one does it again: nothing that
/// std::call_once can be relied on for, because the exception passes through C code, and whoever comes next may wait for ever.
///
/// Threads: any; not from within `work` again.
class Once {
 public:
  template <class Work>
  void run(Work&& work) {
    if (done_.load(std::memory_order_acquire)) [[likely]]
      return;
    const std::lock_guard lock(mutex_);
    if (done_.load(std::memory_order_relaxed)) return;
    work();
    done_.store(true, std::memory_order_release);
  }

 private:
  std::atomic<bool> done_{false};
  std::mutex mutex_;
};

}  // namespace plait
