// Copies between the host and a device.
#pragma once

#include <cstdint>

#include "backends/cuda/runtime/staging.h"
#include "backends/cuda/runtime/stream_queue.h"

namespace plait {

/// Copies to and from ordinary host memory through pinned chunks, which the pool's threads fill and empty while the device
/// copies others.
///
/// Threads: any. Errors: DeviceError, OutOfMemory, Interrupted; then the target's contents are undefined.
class Copies {
 public:
  /// Chunks for large copies: `chunks` of `chunk_bytes`.
  explicit Copies(int64_t chunk_bytes = int64_t{4} << 20, int chunks = 16) : large_(chunk_bytes, chunks) {}

  /// As work of `queue`. `from` has been read when it returns.
  void upload(StreamQueue& queue, void* to, const void* from, int64_t bytes);
  void download(StreamQueue& queue, void* to, const void* from, int64_t bytes);

  /// So small that it does not pay to have another stream do it.
  bool small(int64_t bytes) const { return bytes <= small_.chunk_bytes(); }

 private:
  Staging small_{int64_t{16} << 10, 256};
  Staging large_;
};

}  // namespace plait
