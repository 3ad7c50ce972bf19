// Copies between the host and a device.
#pragma once

#include <cstdint>

#include "backends/cuda/runtime/staging.h"
#include "backends/cuda/runtime/stream_queue.h"

namespace plait {

/// Copies to and from ordinary host memory through pinned chunks, which the pool's threads fill and empty while the device
/// copies others.
///
/// Threads: any. Errors: DeviceError, OutOfMemory, Interrupted; then the target's contents are undefined, and what was
/// enqueued may still write to it.
class Copies {
 public:
  struct Sizes {
    int64_t chunk = int64_t{8} << 20;  // of 64 MiB that are pinned for large copies
    int64_t piece = 256 << 10;  // that one thread fills or empties at once
  };
  Copies() : Copies(Sizes{}) {}
  explicit Copies(Sizes sizes)
      : sizes_(sizes), large_(sizes.chunk, static_cast<int>((int64_t{64} << 20) / sizes.chunk)) {}

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

  const Sizes sizes_;
  Staging small_{int64_t{16} << 10, 256};
  Staging middle_{int64_t{1} << 20, 16};
  Staging large_;
};

}  // namespace plait
