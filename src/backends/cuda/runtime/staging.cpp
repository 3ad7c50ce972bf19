#include "backends/cuda/runtime/staging.h"

#include <algorithm>

#include "backends/cuda/runtime/cuda.h"
#include "backends/cuda/runtime/errors.h"

namespace plait {
namespace {

constexpr int64_t kMadeAtOnce = int64_t{8} << 20;  // pinning takes long, however little is pinned

}  // namespace

Staging::Lease::Lease(Staging& staging) : staging_(&staging) {
  poll_until([&] { return staging.try_take(chunk_); });
}

std::optional<Staging::Lease> Staging::try_lease() {
  Chunk chunk;
  if (!try_take(chunk)) return std::nullopt;
  return Lease(*this, chunk);
}

bool Staging::try_take(Chunk& chunk) {
  const std::lock_guard lock(mutex_);
  if (given_.empty() || !(given_.front().user == nullptr || given_.front().user->reached(given_.front().at))) {
    if (made_ == chunks_) return false;
    const int more =
        static_cast<int>(std::clamp<int64_t>(kMadeAtOnce / chunk_bytes_, 1, static_cast<int64_t>(chunks_ - made_)));
    void* data = nullptr;
    // Portable: one pool serves the copies of all devices.
    check_cuda(cudaHostAlloc(&data, static_cast<size_t>(more * chunk_bytes_), cudaHostAllocPortable),
               "pinning host memory for copies");
    made_ += more;
    for (int i = 0; i < more; ++i) given_.push_front({.data = static_cast<char*>(data) + i * chunk_bytes_});
  }
  chunk = given_.front();
  given_.pop_front();
  chunk.user = nullptr;
  return true;
}

void Staging::give(Chunk chunk) noexcept {
  const std::lock_guard lock(mutex_);
  if (chunk.user) {
    given_.push_back(chunk);
  } else {
    given_.push_front(chunk);
  }
}

}  // namespace plait
