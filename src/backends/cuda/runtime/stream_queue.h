// A queue of work: a stream, and the events that mark points of it.
#pragma once

#include <cuda_runtime_api.h>

#include <atomic>
#include <cstdint>
#include <deque>
#include <mutex>
#include <vector>

namespace plait {

/// Marks count from 1, one event each; events whose mark was reached are used again.
///
/// Threads: any. Errors: DeviceError.
class StreamQueue {
 public:
  explicit StreamQueue(int device);

  int device() const { return device_; }

  /// The stream, for someone who enqueues work.
  cudaStream_t stream_for_use() {
    uses_.fetch_add(1, std::memory_order_relaxed);
    return stream_;
  }
  /// How often it was asked for: unchanged means that nothing came in between.
  uint64_t uses() const { return uses_.load(std::memory_order_relaxed); }

  uint64_t mark();
  /// The mark that the next call of `mark` makes, at the earliest: it comes after all that is enqueued now.
  uint64_t next_mark() const { return recorded_.load(std::memory_order_acquire) + 1; }
  /// Whether it is known to be reached, without asking the driver.
  bool known(uint64_t at) const { return at <= done_.load(std::memory_order_acquire); }
  bool reached(uint64_t at);
  void finish(uint64_t at);
  /// Later work starts after a mark of another queue.
  void wait(StreamQueue& other, uint64_t at);

 private:
  cudaEvent_t event_of(uint64_t at) const { return pending_[at - done_.load(std::memory_order_relaxed) - 1]; }
  bool ask(uint64_t at);
  void retire(uint64_t at);

  const int device_;
  cudaStream_t stream_ = nullptr;
  std::atomic<uint64_t> uses_{0};
  std::mutex mutex_;                     // over what follows; the atomics are read without
  std::atomic<uint64_t> recorded_{0};
  std::atomic<uint64_t> done_{0};        // the last mark known to be reached
  std::deque<cudaEvent_t> pending_;      // of marks done_ + 1 to recorded_
  std::vector<cudaEvent_t> spare_;
};

}  // namespace plait
