// Pinned host memory that copies pass through, because the device reads and writes other memory at a fraction of the speed.
#pragma once

#include <cstdint>
#include <deque>
#include <mutex>
#include <optional>
#include <vector>

#include "backends/cuda/runtime/stream_queue.h"

namespace plait {

/// Chunks of one size, made as they are needed up to a number, then used in turn.
///
/// Threads: any. Errors: DeviceError; OutOfMemory when no memory can be pinned.
class Staging {
 public:
  Staging(int64_t chunk_bytes, int chunks) : chunk_bytes_(chunk_bytes), chunks_(chunks) {}

  int64_t chunk_bytes() const { return chunk_bytes_; }

  /// Of the chunks that are free: what the host writes had better be in its caches still, what a device writes had better not, so that new
  /// ones come before that. `newest` asks about all of them, `oldest` about one.
  enum class Which : uint8_t { newest, oldest };

  /// A chunk for the scope. `busy_until` names the work that uses it when the scope ends.
  class Lease {
   public:
    /// Waits until there is one. Who holds some already asks with `try_lease`, or threads could wait for each other.
    Lease(Staging& staging, Which which);
    Lease(Lease&& other) noexcept : staging_(other.staging_), chunk_(other.chunk_) { other.staging_ = nullptr; }
    Lease& operator=(Lease&&) = delete;
    ~Lease() {
      if (staging_) staging_->give(chunk_);
    }
    char* data() const { return chunk_.data; }
    void busy_until(StreamQueue& queue, uint64_t at) {
      chunk_.user = &queue;
      chunk_.at = at;
    }

   private:
    friend class Staging;
    struct Chunk {
      char* data = nullptr;
      StreamQueue* user = nullptr;
      uint64_t at = 0;
    };
    Lease(Staging& staging, Chunk chunk) : staging_(&staging), chunk_(chunk) {}
    Staging* staging_;
    Chunk chunk_;
  };

  std::optional<Lease> try_lease(Which which);

 private:
  using Chunk = Lease::Chunk;
  bool try_take(Chunk& chunk, Which which);
  void give(Chunk chunk) noexcept;

  const int64_t chunk_bytes_;
  const int chunks_;
  std::mutex mutex_;
  int made_ = 0;
  std::deque<Chunk> given_;  // new ones, then the one given back longest ago first
};

}  // namespace plait
