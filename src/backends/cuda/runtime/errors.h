// Whether the devices may be used at all, and waiting for them.
#pragma once

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
  // Short waits spin: the shortest sleep takes 50 us and more, a tenth of a kernel over a gigabyte. In long ones the sleep is a
  // fraction of the wait so far, so that little is lost behind its end.
  constexpr int64_t kSpinNs = 5'000'000, kLongestSleepNs = 2'000'000;
  const auto now_ns = [] {
    timespec now;
    ::clock_gettime(CLOCK_MONOTONIC, &now);
    return int64_t{now.tv_sec} * 1'000'000'000 + now.tv_nsec;
  };
  int64_t start = 0;
  while (!done()) {
    if (worker_index() == 0) poll_interrupt();
    if (start == 0) start = now_ns();
    const int64_t waited = now_ns() - start;
    if (waited < kSpinNs) continue;
    const timespec pause{0, static_cast<long>(std::min(waited / 32, kLongestSleepNs))};
    ::nanosleep(&pause, nullptr);
  }
}

}  // namespace plait
