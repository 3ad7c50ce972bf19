// Regions are published in static slots, one per calling thread, and cut into chunks that threads claim from the slot's
// ticket with one compare-and-swap. Slots are never freed, so a worker may look at any of them at any time; what a
// region needs (body, extents) is read only after a claim, and its owner does not return before every claimed chunk is
// reported done. So a worker that comes too late finds an empty ticket, and nobody waits for it.
#include "base/parallel.h"

#include <linux/futex.h>
#include <pthread.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <bit>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <mutex>
#include <stdexcept>
#include <system_error>
#include <thread>
#include <utility>

#include "base/fork.h"
#include "base/interrupt.h"
#include "base/platform.h"

namespace plait {
namespace {

using Body = FunctionRef<void(int64_t, int64_t)>;

constexpr int kSlots = 64;  // threads that may have regions at once; more run theirs alone
constexpr int kMaxThreads = 1024;
constexpr int kWakeFanOut = 2;  // a woken worker wakes this many more, so that the caller does not wake all
constexpr int64_t kSpinNs = 40'000;
constexpr int64_t kWaitSliceNs = 20'000'000;  // how often a waiting caller polls for interrupts

// Ticket: chunks not handed out yet, and the highest worker that may claim.
constexpr int kRemainingBits = 48;
constexpr uint64_t kRemainingMask = (uint64_t{1} << kRemainingBits) - 1;

struct alignas(128) Slot {
  std::atomic<uint64_t> ticket{0};
  // Written by the owner while the ticket is 0, read by others after a claim.
  const Body* body = nullptr;
  int64_t count = 0;
  int64_t grain = 0;
  int64_t chunks = 0;
  std::exception_ptr* error = nullptr;  // written by whoever sets `failed`

  alignas(128) std::atomic<int64_t> done{0};  // chunks run or dropped by others than the owner
  std::atomic<uint32_t> waiting{0};  // the owner sleeps on `wake`
  std::atomic<uint32_t> wake{0};
  std::atomic<bool> failed{false};
};

struct Pool {
  Slot slots[kSlots];
  alignas(128) std::atomic<uint32_t> epoch{0};  // counts published regions: what idle workers watch
  alignas(128) std::atomic<int> sleepers{0};  // workers asleep and not yet claimed by a waker
  std::atomic<uint32_t> wake_tokens{0};  // one for each sleeper a waker has claimed
  std::atomic<uint32_t> helper_changes{0};  // what workers beyond `helpers` watch
  alignas(128) std::atomic<int> helpers{-1};  // thread_count() - 1; negative: not decided yet
  std::atomic<int> spawned{0};
  std::atomic<int> slots_seen{0};  // slots ever used: how far workers scan
  std::mutex mutex;  // guards spawning and `slots_used`
  uint64_t slots_used = 0;
  std::atomic<uint32_t> forks{0};  // how often this process is a child
};

// Constant-initialised and never destroyed: workers may outlive static destructors.
union Immortal {
  constexpr Immortal() : pool() {}
  ~Immortal() {}
  Pool pool;
};
constinit Immortal immortal;
Pool& pool = immortal.pool;

struct ThreadState {
  Slot* slot = nullptr;
  int index = 0;
  bool in_region = false;
  bool exiting = false;
};
[[gnu::tls_model("initial-exec")]] constinit thread_local ThreadState self;

void futex_wait(std::atomic<uint32_t>& word, uint32_t expected, int64_t timeout_ns = -1) {
  const timespec timeout{.tv_sec = timeout_ns / 1'000'000'000, .tv_nsec = timeout_ns % 1'000'000'000};
  ::syscall(SYS_futex, &word, FUTEX_WAIT_PRIVATE, expected, timeout_ns < 0 ? nullptr : &timeout, nullptr, 0);
}
void futex_wake(std::atomic<uint32_t>& word, int count) {
  ::syscall(SYS_futex, &word, FUTEX_WAKE_PRIVATE, count, nullptr, nullptr, 0);
}

inline void pause() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("isb" ::: "memory");
#endif
}

int64_t now_ns() {
  timespec now;
  ::clock_gettime(CLOCK_MONOTONIC, &now);
  return now.tv_sec * 1'000'000'000 + now.tv_nsec;
}

// Spins until `ready` holds or the spinning time is over; returns whether it holds.
template <class Ready>
bool spin_until(Ready ready) {
  int64_t deadline = 0;
  while (true) {
    for (int i = 0; i < 32; ++i) {
      if (ready()) return true;
      pause();
    }
    const int64_t now = now_ns();
    if (deadline == 0) deadline = now + kSpinNs;
    if (now > deadline) return ready();
  }
}

// --- chunks ---------------------------------------------------------------------------------------------------------

// The number of the claimed chunk counted from the end, from 1; 0 when there is none for this thread.
uint64_t claim(Slot& slot, int index) {
  uint64_t ticket = slot.ticket.load(std::memory_order_relaxed);
  do {
    if ((ticket & kRemainingMask) == 0 || static_cast<int>(ticket >> kRemainingBits) < index) return 0;
  } while (
      !slot.ticket.compare_exchange_weak(ticket, ticket - 1, std::memory_order_acquire, std::memory_order_relaxed));
  return ticket & kRemainingMask;
}

void run_chunk(const Slot& slot, uint64_t from_end) {
  const int64_t begin = (slot.chunks - static_cast<int64_t>(from_end)) * slot.grain;
  (*slot.body)(begin, std::min(slot.grain, slot.count - begin) + begin);
}

// Keeps the first exception and drops what has not been handed out; returns how many chunks that were.
int64_t fail(Slot& slot, std::exception_ptr error) {
  if (!slot.failed.exchange(true, std::memory_order_acq_rel)) *slot.error = std::move(error);
  return static_cast<int64_t>(slot.ticket.exchange(0, std::memory_order_acq_rel) & kRemainingMask);
}

// --- workers --------------------------------------------------------------------------------------------------------

void wake_workers(int wanted) {
  int asleep = pool.sleepers.load(std::memory_order_seq_cst);
  int taken = 0;
  do {
    taken = std::min(asleep, wanted);
    if (taken <= 0) return;
  } while (!pool.sleepers.compare_exchange_weak(asleep, asleep - taken, std::memory_order_seq_cst));
  pool.wake_tokens.fetch_add(static_cast<uint32_t>(taken), std::memory_order_seq_cst);
  futex_wake(pool.wake_tokens, taken);
}

void sleep_until_woken(uint32_t seen_epoch) {
  pool.sleepers.fetch_add(1, std::memory_order_seq_cst);
  if (pool.epoch.load(std::memory_order_seq_cst) != seen_epoch) {
    int asleep = pool.sleepers.load(std::memory_order_relaxed);
    while (asleep > 0) {
      if (pool.sleepers.compare_exchange_weak(asleep, asleep - 1, std::memory_order_seq_cst)) return;
    }
    // A waker has claimed us already: its token is ours.
  }
  while (true) {
    uint32_t tokens = pool.wake_tokens.load(std::memory_order_acquire);
    while (tokens > 0) {
      if (pool.wake_tokens.compare_exchange_weak(tokens, tokens - 1, std::memory_order_acq_rel)) return;
    }
    futex_wait(pool.wake_tokens, 0);
  }
}

// Runs chunks of one slot; false when there was none.
bool help(Slot& slot, int index) {
  uint64_t chunk = claim(slot, index);
  if (!chunk) return false;
  if (chunk > 1) wake_workers(kWakeFanOut);
  int64_t done = 0;
  try {
    for (; chunk; chunk = claim(slot, index)) {
      ++done;
      run_chunk(slot, chunk);
    }
  } catch (...) {
    done += fail(slot, std::current_exception());
  }
  slot.done.fetch_add(done, std::memory_order_seq_cst);
  // From here on the slot may serve another region, which at worst is woken for nothing.
  if (slot.waiting.load(std::memory_order_seq_cst)) {
    slot.wake.fetch_add(1, std::memory_order_seq_cst);
    futex_wake(slot.wake, 1);
  }
  return true;
}

void work(int index) {
  self.index = index;
  self.in_region = true;
  char name[16];
  std::snprintf(name, sizeof name, "plait-%d", index);
  ::pthread_setname_np(::pthread_self(), name);
  int first = index;  // start at different slots, so that regions of several callers share the workers
  while (true) {
    uint32_t changes = pool.helper_changes.load(std::memory_order_acquire);
    while (index > pool.helpers.load(std::memory_order_acquire)) {
      futex_wait(pool.helper_changes, changes);
      changes = pool.helper_changes.load(std::memory_order_acquire);
    }
    const uint32_t epoch = pool.epoch.load(std::memory_order_seq_cst);
    const int seen = pool.slots_seen.load(std::memory_order_acquire);
    bool helped = false;
    for (int i = 0; i < seen; ++i) {
      const int at = (first + i) % seen;
      if (help(pool.slots[at], index)) {
        helped = true;
        first = at + 1;
        break;
      }
    }
    if (helped) continue;
    if (!spin_until([&] { return pool.epoch.load(std::memory_order_relaxed) != epoch; })) sleep_until_woken(epoch);
  }
}

[[gnu::noinline]] void spawn_workers(int wanted) {
  const std::lock_guard lock(pool.mutex);
  for (int index = pool.spawned.load(std::memory_order_relaxed) + 1; index <= wanted; ++index) {
    try {
      std::thread(work, index).detach();
    } catch (const std::system_error&) {  // no more threads to be had: the region runs with fewer
    }
    pool.spawned.store(index, std::memory_order_relaxed);
  }
}

// --- callers --------------------------------------------------------------------------------------------------------

struct ReturnSlotAtThreadExit {
  ~ReturnSlotAtThreadExit() {
    const std::lock_guard lock(pool.mutex);
    pool.slots_used &= ~(uint64_t{1} << (self.slot - pool.slots));
    self.slot = nullptr;
    self.exiting = true;
  }
};

[[gnu::noinline]] Slot* take_slot() {
  if (self.exiting) return nullptr;
  {
    const std::lock_guard lock(pool.mutex);
    const int at = std::countr_one(pool.slots_used);
    if (at >= kSlots) return nullptr;
    pool.slots_used |= uint64_t{1} << at;
    pool.slots_seen.store(std::max(pool.slots_seen.load(std::memory_order_relaxed), at + 1), std::memory_order_release);
    self.slot = &pool.slots[at];
  }
  thread_local ReturnSlotAtThreadExit return_slot;
  return self.slot;
}

// Waits until the others' chunks are done. An interrupt meanwhile ends the handing out, not the waiting: workers still
// use the body.
void wait_for_others(Slot& slot, int64_t& own, uint32_t forks) {
  const auto finished = [&] { return slot.done.load(std::memory_order_seq_cst) == slot.chunks - own; };
  bool polling = true;
  while (!spin_until(finished)) {
    if (pool.forks.load(std::memory_order_relaxed) != forks) {
      throw std::runtime_error(
          "parallel_for: the process was forked inside this region, and the child has no workers to finish it");
    }
    if (polling) {
      try {
        poll_interrupt();
      } catch (...) {
        own += fail(slot, std::current_exception());
        polling = false;
      }
    }
    slot.waiting.store(1, std::memory_order_seq_cst);
    const uint32_t wake = slot.wake.load(std::memory_order_seq_cst);
    if (!finished()) futex_wait(slot.wake, wake, kWaitSliceNs);
    slot.waiting.store(0, std::memory_order_relaxed);
  }
}

struct InRegion {
  InRegion() { self.in_region = true; }
  ~InRegion() { self.in_region = false; }
};

void run_shared(Slot& slot, int helpers, int64_t chunks, int64_t count, int64_t grain, const Body& body) {
  const InRegion in_region;
  const uint32_t forks = pool.forks.load(std::memory_order_relaxed);
  slot.body = &body;
  slot.count = count;
  slot.grain = grain;
  slot.chunks = chunks;
  std::exception_ptr error;
  slot.error = &error;
  slot.failed.store(false, std::memory_order_relaxed);
  slot.done.store(0, std::memory_order_relaxed);
  slot.ticket.store(static_cast<uint64_t>(helpers) << kRemainingBits | static_cast<uint64_t>(chunks),
                    std::memory_order_release);
  pool.epoch.fetch_add(1, std::memory_order_seq_cst);
  if (pool.sleepers.load(std::memory_order_seq_cst) > 0) {
    wake_workers(static_cast<int>(std::min<int64_t>(kWakeFanOut, chunks - 1)));
  }
  int64_t own = 0;
  try {
    while (const uint64_t chunk = claim(slot, 0)) {
      ++own;
      run_chunk(slot, chunk);
      poll_interrupt();
    }
  } catch (...) {
    own += fail(slot, std::current_exception());
  }
  if (own != chunks) wait_for_others(slot, own, forks);
  if (slot.failed.load(std::memory_order_acquire)) [[unlikely]]
    std::rethrow_exception(std::move(error));
}

void run_alone(int64_t count, int64_t grain, const Body& body) {
  const bool nested = self.in_region;
  for (int64_t begin = 0; begin < count;) {
    const int64_t end = count - begin > grain ? begin + grain : count;
    body(begin, end);
    begin = end;
    if (!nested) poll_interrupt();
  }
}

// --- number of threads, forks ---------------------------------------------------------------------------------------

int default_thread_count() {
  if (const char* text = std::getenv("PLAIT_NUM_THREADS")) {
    char* end = nullptr;
    const long value = std::strtol(text, &end, 10);
    if (end != text && *end == 0 && value >= 1) return static_cast<int>(std::min<long>(value, kMaxThreads));
  }
  return std::min(platform::usable_cpus(), kMaxThreads);
}

int helper_count() {
  const int helpers = pool.helpers.load(std::memory_order_relaxed);
  if (helpers >= 0) [[likely]]
    return helpers;
  int undecided = -1;
  const int chosen = default_thread_count() - 1;
  return pool.helpers.compare_exchange_strong(undecided, chosen, std::memory_order_acq_rel) ? chosen : undecided;
}

// The child has one thread. Whatever the others were at, their slots and the workers are gone; workers start again when
// needed.
void restart_in_child() {
  for (Slot& slot : pool.slots) {
    if (&slot == self.slot) continue;
    slot.ticket.store(0, std::memory_order_relaxed);
    slot.waiting.store(0, std::memory_order_relaxed);
  }
  pool.slots_used = self.slot ? uint64_t{1} << (self.slot - pool.slots) : 0;
  pool.sleepers.store(0, std::memory_order_relaxed);
  pool.wake_tokens.store(0, std::memory_order_relaxed);
  pool.spawned.store(0, std::memory_order_relaxed);
  pool.forks.fetch_add(1, std::memory_order_relaxed);
  pool.mutex.unlock();
}

// At load time, so that no thread can be in the middle of it when another one forks.
[[maybe_unused]] const bool fork_handlers = [] {
  at_fork(ForkOrder::base, [] { pool.mutex.lock(); }, [] { pool.mutex.unlock(); }, restart_in_child);
  return true;
}();

}  // namespace

int thread_count() { return helper_count() + 1; }

void set_thread_count(int n) {
  pool.helpers.store((n < 1 ? default_thread_count() : std::min(n, kMaxThreads)) - 1, std::memory_order_release);
  pool.helper_changes.fetch_add(1, std::memory_order_release);
  futex_wake(pool.helper_changes, kMaxThreads);
}

int worker_index() noexcept { return self.index; }

void parallel_for(int64_t count, int64_t grain, FunctionRef<void(int64_t begin, int64_t end)> body) {
  if (count <= 0) return;
  grain = std::max<int64_t>(grain, 1);
  const int64_t chunks = (count - 1) / grain + 1;
  const int helpers = helper_count();
  if (chunks == 1 || helpers == 0 || self.in_region || chunks > static_cast<int64_t>(kRemainingMask)) {
    return run_alone(count, grain, body);
  }
  Slot* slot = self.slot ? self.slot : take_slot();
  if (!slot) return run_alone(count, grain, body);
  if (pool.spawned.load(std::memory_order_relaxed) < helpers) spawn_workers(helpers);
  run_shared(*slot, helpers, chunks, count, grain, body);
}

}  // namespace plait
