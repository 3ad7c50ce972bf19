#include "backends/cuda/runtime/staging.h"

#include <algorithm>

#include "backends/cuda/runtime/cuda.h"
#include "backends/cuda/runtime/errors.h"

namespace plait {
namespace {

constexpr int64_t kMadeAtOnce = int64_t{8} << 20;  // pinning takes long, however little is pinned

}  // namespace

Staging::Lease::Lease(Staging& staging, Which which) : staging_(&staging) {
  poll_until([&] { return staging.try_take(chunk_, which); });
}

std::optional<Staging::Lease> Staging::try_lease(Which which) {
  Chunk chunk;
  if (!try_take(chunk, which)) return std::nullopt;
  return Lease(*this, chunk);
}

bool Staging::try_take(Chunk& chunk, Which which) {
  const std::lock_guard lock(mutex_);
  const auto is_free = [](const Chunk& given) { return given.user == nullptr || given.user->reached(given.at); };
  auto found = given_.end();
  if (which == Which::newest) {
    const auto last = std::find_if(given_.rbegin(), given_.rend(), is_free);
    if (last != given_.rend()) found = last.base() - 1;
  } else if (!given_.empty() && (given_.front().user == nullptr || (made_ == chunks_ && is_free(given_.front())))) {
    found = given_.begin();
  }
  if (found == given_.end()) {
    if (made_ == chunks_) return false;
    const int more =
        static_cast<int>(std::clamp<int64_t>(kMadeAtOnce / chunk_bytes_, 1, static_cast<int64_t>(chunks_ - made_)));
    void* data = nullptr;
    // Portable: one pool serves the copies of all devices.
    check_cuda(cudaHostAlloc(&data, static_cast<size_t>(more * chunk_bytes_), cudaHostAllocPortable),
               "pinning host memory for copies");
    made_ += more;
    for (int i = 0; i < more; ++i) given_.push_front({.data = static_cast<char*>(data) + i * chunk_bytes_});
    found = given_.begin();
  }
  chunk = *found;
  given_.erase(found);
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
