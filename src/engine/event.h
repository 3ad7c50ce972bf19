#pragma once

#include <condition_variable>
#include <mutex>

#include "base/interrupt.h"

namespace plait::engine {

/// Set once, when one evaluation has ended, well or not.
class Event {
 public:
  void set() {
    {
      const std::lock_guard lock(mutex_);
      done_ = true;
    }
    changed_.notify_all();
  }
  /// Answers Ctrl-C while it waits.
  void wait() {
    std::unique_lock lock(mutex_);
    while (!changed_.wait_for(lock, std::chrono::milliseconds(20), [&] { return done_; })) {
      lock.unlock();
      poll_interrupt();
      lock.lock();
    }
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  bool done_ = false;
};

}  // namespace plait::engine
