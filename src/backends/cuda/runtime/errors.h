// Whether the devices may be used at all, and waiting for them.
#pragma once

#include <sched.h>
#include <time.h>

#include <algorithm>
#include <cstdint>

#include "base/interrupt.h"
#include "base/parallel.h"

namespace plait {

/// Throws DeviceError after a fault of a device, and in the child of a fork.
///
/// Threads: any. Every function that calls CUDA on behalf of others asks first, before it takes a lock: a child of a fork
/// may have inherited the lock taken.
void check_usable();
bool usable() noexcept;

/// From now on a child of a fork is told that it can't use the devices.
void watch_forks();

/// Asks `done` until it is true, more and more seldom, answering interrupts.
template <class Done>
void poll_until(const Done& done) {
  // The time between two questions is a fraction of the wait so far, so that little is lost behind its end. In the first 10 ms it is spent
  // giving the core to whoever wants it: the shortest sleep lasts some 60 us, a tenth of a kernel that is worth timing.
  constexpr int64_t kAwakeNs = 10'000'000, kLongestPauseNs = 2'000'000;
  const auto now_ns = [] {
    timespec now;
    ::clock_gettime(CLOCK_MONOTONIC, &now);
    return int64_t{now.tv_sec} * 1'000'000'000 + now.tv_nsec;
  };
  int64_t start = 0;
  while (!done()) {
    if (worker_index() == 0) poll_interrupt();
    const int64_t now = now_ns();
    if (start == 0) start = now;
    const int64_t pause_ns = std::min((now - start) / 256, kLongestPauseNs);
    if (now - start < kAwakeNs) {
      while (now_ns() - now < pause_ns) ::sched_yield();
    } else {
      const timespec pause{0, static_cast<long>(pause_ns)};
      ::nanosleep(&pause, nullptr);
    }
  }
}

}  // namespace plait
