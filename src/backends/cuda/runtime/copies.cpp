#include "backends/cuda/runtime/copies.h"

#include <algorithm>
#include <array>
#include <atomic>
#include <cstring>
#include <deque>
#include <memory>
#include <optional>
#include <utility>

#include "backends/cuda/runtime/cuda.h"
#include "base/parallel.h"

namespace plait {
namespace {

constexpr size_t kInFlight = 4;  // chunks of one download

int64_t pieces(int64_t bytes, int64_t piece) { return (bytes + piece - 1) / piece; }

void enqueue(StreamQueue& queue, void* to, const void* from, int64_t bytes, cudaMemcpyKind kind) {
  check_cuda(cudaMemcpyAsync(to, from, static_cast<size_t>(bytes), kind, queue.stream_for_use()),
             kind == cudaMemcpyHostToDevice ? "upload" : "download");
}

}  // namespace

// Threads copy pieces of a chunk; whoever completes a group of pieces sends it off, so that the device begins long before
// the chunk is full.
void Copies::upload(StreamQueue& queue, void* to, const void* from, int64_t bytes) {
  Staging& staging = staging_for(bytes);
  const int64_t piece = sizes_.piece;
  const int64_t group = std::clamp(bytes / 16 / piece * piece, piece, sizes_.chunk);
  for (int64_t at = 0; at < bytes; at += staging.chunk_bytes()) {
    const int64_t part = std::min(bytes - at, staging.chunk_bytes());
    const int64_t groups = pieces(part, group);
    const auto missing = std::make_unique<std::atomic<int64_t>[]>(static_cast<size_t>(groups));
    for (int64_t i = 0; i < groups; ++i) missing[i] = pieces(std::min(group, part - i * group), piece);
    Staging::Lease chunk(staging);
    try {
      parallel_for(part, piece, [&](int64_t begin, int64_t end) {
        std::memcpy(chunk.data() + begin, static_cast<const char*>(from) + at + begin,
                    static_cast<size_t>(end - begin));
        const int64_t first = begin / group * group;
        if (missing[begin / group].fetch_sub(1, std::memory_order_acq_rel) == 1)
          enqueue(queue, static_cast<char*>(to) + at + first, chunk.data() + first, std::min(group, part - first),
                  cudaMemcpyHostToDevice);
      });
    } catch (...) {  // an interrupt: some groups are on their way
      chunk.busy_until(queue, queue.mark());
      throw;
    }
    chunk.busy_until(queue, queue.mark());
  }
}

void Copies::download(StreamQueue& queue, void* to, const void* from, int64_t bytes) {
  Staging& staging = staging_for(bytes);
  const int64_t most = std::clamp(bytes / 8 / sizes_.piece * sizes_.piece,
                                  std::min(2 * sizes_.piece, staging.chunk_bytes()), staging.chunk_bytes());
  struct Part {
    Staging::Lease chunk;
    int64_t at;
    int64_t bytes;
    uint64_t mark;
  };
  std::deque<Part> parts;
  for (int64_t begun = 0, ended = 0; ended < bytes;) {
    while (begun < bytes && parts.size() < kInFlight) {
      std::optional<Staging::Lease> chunk = staging.try_lease();
      if (!chunk && !parts.empty()) break;
      if (!chunk) chunk.emplace(staging);
      const int64_t part = std::min(bytes - begun, most);
      enqueue(queue, chunk->data(), static_cast<const char*>(from) + begun, part, cudaMemcpyDeviceToHost);
      const uint64_t mark = queue.mark();
      chunk->busy_until(queue, mark);
      parts.push_back({std::move(*chunk), begun, part, mark});
      begun += part;
    }
    const Part& part = parts.front();
    queue.finish(part.mark);
    parallel_for(part.bytes, sizes_.piece, [&](int64_t begin, int64_t end) {
      std::memcpy(static_cast<char*>(to) + part.at + begin, part.chunk.data() + begin,
                  static_cast<size_t>(end - begin));
    });
    ended += part.bytes;
    parts.pop_front();
  }
}

}  // namespace plait
