// Copies between the host and a device.
#pragma once

#include <cstdint>

#include "backends/cuda/runtime/staging.h"
#include "backends/cuda/runtime/stream_queue.h"

namespace plait {

/// Copies to and from ordinary host memory through pinned memory, which the pool's threads fill and empty piece by piece while
/// the device copies others. What the device copies at once grows from `least` to `most`, so that it begins, and the threads
/// do, long before much is there.
///
/// Threads: any. Errors: DeviceError, OutOfMemory, Interrupted; then the target's contents are undefined, and what was
/// enqueued may still write to it.
class Copies {
 public:
  struct Sizes {  // bytes; powers of two, in this order
    int64_t piece = 64 << 10;  // that one thread fills or empties at once
    int64_t least = 256 << 10;
    int64_t most = int64_t{2} << 20;
    int64_t window = int64_t{16} << 20;  // that threads share out among themselves, of 64 MiB that are pinned
  };
  Copies() : Copies(Sizes{}) {}
  explicit Copies(Sizes sizes) : sizes_(sizes) {}

  /// Copies something, so that no later copy of up to 1 MiB is the first: memory is pinned, threads and their way to the driver are there.
  void prepare(StreamQueue& queue);

  /// As work of `queue`. `from` has been read when it returns.
  void upload(StreamQueue& queue, void* to, const void* from, int64_t bytes);
  /// Complete when it returns.
  void download(StreamQueue& queue, void* to, const void* from, int64_t bytes);

  /// So few bytes that it does not pay to have another stream move them.
  bool small(int64_t bytes) const { return bytes <= small_.chunk_bytes(); }

 private:
  Staging& staging_for(int64_t bytes) {
    return small(bytes) ? small_ : bytes <= middle_.chunk_bytes() ? middle_ : large_;
  }
  class Window;

  const Sizes sizes_;
  Staging small_{int64_t{64} << 10, 128};
  Staging middle_{int64_t{1} << 20, 8};
  Staging large_{int64_t{8} << 20, 8};
};

}  // namespace plait
