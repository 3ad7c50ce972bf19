#include "backends/cuda/runtime/copies.h"

#include <algorithm>
#include <cstring>
#include <deque>
#include <optional>
#include <utility>
#include <vector>

#include "backends/cuda/runtime/cuda.h"
#include "base/parallel.h"

namespace plait {
namespace {

constexpr size_t kInFlight = 3;  // chunks of one download

// What one thread copies and the device copies at once: small enough that both sides begin soon, large enough that
// neither minds the number.
int64_t piece_of(int64_t bytes) { return std::clamp<int64_t>(bytes / 32 / 4096 * 4096, 128 << 10, 1 << 20); }

void enqueue(StreamQueue& queue, void* to, const void* from, int64_t bytes, cudaMemcpyKind kind) {
  check_cuda(cudaMemcpyAsync(to, from, static_cast<size_t>(bytes), kind, queue.stream_for_use()),
             kind == cudaMemcpyHostToDevice ? "upload" : "download");
}

}  // namespace

void Copies::upload(StreamQueue& queue, void* to, const void* from, int64_t bytes) {
  Staging& staging = staging_for(bytes);
  const int64_t piece = piece_of(bytes);
  for (int64_t at = 0; at < bytes; at += staging.chunk_bytes()) {
    const int64_t part = std::min(bytes - at, staging.chunk_bytes());
    Staging::Lease chunk(staging);
    try {
      // Whoever has filled a piece sends it off; their order does not matter.
      parallel_for(part, piece, [&](int64_t begin, int64_t end) {
        std::memcpy(chunk.data() + begin, static_cast<const char*>(from) + at + begin,
                    static_cast<size_t>(end - begin));
        enqueue(queue, static_cast<char*>(to) + at + begin, chunk.data() + begin, end - begin, cudaMemcpyHostToDevice);
      });
    } catch (...) {  // an interrupt: some pieces are on their way
      chunk.busy_until(queue, queue.mark());
      throw;
    }
    chunk.busy_until(queue, queue.mark());
  }
}

void Copies::download(StreamQueue& queue, void* to, const void* from, int64_t bytes) {
  Staging& staging = staging_for(bytes);
  const int64_t piece = piece_of(bytes);
  struct Part {
    Staging::Lease chunk;
    int64_t at;
    int64_t bytes;
    std::vector<uint64_t> marks;  // one behind each piece
  };
  std::deque<Part> parts;
  for (int64_t begun = 0, ended = 0; ended < bytes;) {
    while (begun < bytes && parts.size() < kInFlight) {
      std::optional<Staging::Lease> chunk = staging.try_lease();
      if (!chunk && !parts.empty()) break;
      if (!chunk) chunk.emplace(staging);
      parts.push_back({std::move(*chunk), begun, std::min(bytes - begun, staging.chunk_bytes()), {}});
      Part& part = parts.back();
      for (int64_t at = 0; at < part.bytes; at += piece) {
        const int64_t end = std::min(part.bytes, at + piece);
        enqueue(queue, part.chunk.data() + at, static_cast<const char*>(from) + begun + at, end - at,
                cudaMemcpyDeviceToHost);
        part.marks.push_back(queue.mark());
        part.chunk.busy_until(queue, part.marks.back());
      }
      begun += part.bytes;
    }
    const Part& part = parts.front();
    queue.finish(part.marks.front());  // here and not on the pool's threads, as work of any length may come before
    parallel_for(part.bytes, piece, [&](int64_t begin, int64_t end) {
      queue.finish(part.marks[static_cast<size_t>(begin / piece)]);
      std::memcpy(static_cast<char*>(to) + part.at + begin, part.chunk.data() + begin,
                  static_cast<size_t>(end - begin));
    });
    ended += part.bytes;
    parts.pop_front();
  }
}

}  // namespace plait
