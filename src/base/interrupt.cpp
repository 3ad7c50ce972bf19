#include "base/interrupt.h"

#include <time.h>

#include <atomic>
#include <cstdint>

namespace plait {
namespace {

constexpr int64_t kPeriodMs = 20;

constinit std::atomic<void (*)()> interrupt_hook{nullptr};
constinit thread_local int64_t next_poll_ms = 0;  // per thread: polls of one thread must not silence another's

}  // namespace

void set_interrupt_hook(void (*hook)()) noexcept { interrupt_hook.store(hook, std::memory_order_release); }

void poll_interrupt() {
  void (*const hook)() = interrupt_hook.load(std::memory_order_acquire);
  if (!hook) return;
  timespec now;
  ::clock_gettime(CLOCK_MONOTONIC_COARSE, &now);  // the time of the last tick: no system call, no counter read
  const int64_t now_ms = now.tv_sec * 1000 + now.tv_nsec / 1000000;
  if (now_ms < next_poll_ms) return;
  next_poll_ms = now_ms + kPeriodMs;
  hook();
}

}  // namespace plait
