#include "backends/cuda/runtime/copies.h"

#include <algorithm>
#include <cstring>
#include <deque>
#include <optional>
#include <utility>

#include "backends/cuda/runtime/cuda.h"
#include "base/parallel.h"

namespace plait {
namespace {

constexpr int64_t kPiece = 256 << 10;  // of a chunk, for one thread
constexpr size_t kInFlight = 4;        // chunks of one download

void copy_on_host(void* to, const void* from, int64_t bytes) {
  parallel_for(bytes, kPiece, [&](int64_t begin, int64_t end) {
    std::memcpy(static_cast<char*>(to) + begin, static_cast<const char*>(from) + begin,
                static_cast<size_t>(end - begin));
  });
}

void enqueue(StreamQueue& queue, void* to, const void* from, int64_t bytes, cudaMemcpyKind kind,
             Staging::Lease& chunk) {
  check_cuda(cudaMemcpyAsync(to, from, static_cast<size_t>(bytes), kind, queue.stream_for_use()),
             kind == cudaMemcpyHostToDevice ? "upload" : "download");
  chunk.busy_until(queue, queue.mark());
}

}  // namespace

void Copies::upload(StreamQueue& queue, void* to, const void* from, int64_t bytes) {
  Staging& staging = small(bytes) ? small_ : large_;
  for (int64_t at = 0; at < bytes; at += staging.chunk_bytes()) {
    const int64_t part = std::min(bytes - at, staging.chunk_bytes());
    Staging::Lease chunk(staging);
    copy_on_host(chunk.data(), static_cast<const char*>(from) + at, part);
    enqueue(queue, static_cast<char*>(to) + at, chunk.data(), part, cudaMemcpyHostToDevice, chunk);
  }
}

void Copies::download(StreamQueue& queue, void* to, const void* from, int64_t bytes) {
  Staging& staging = small(bytes) ? small_ : large_;
  struct Part {
    Staging::Lease chunk;
    int64_t at;
    int64_t bytes;
  };
  std::deque<Part> parts;
  for (int64_t begun = 0, ended = 0; ended < bytes;) {
    while (begun < bytes && parts.size() < kInFlight) {
      std::optional<Staging::Lease> chunk = staging.try_lease();
      if (!chunk && !parts.empty()) break;
      if (!chunk) chunk.emplace(staging);
      parts.push_back({std::move(*chunk), begun, std::min(bytes - begun, staging.chunk_bytes())});
      Part& part = parts.back();
      enqueue(queue, part.chunk.data(), static_cast<const char*>(from) + part.at, part.bytes, cudaMemcpyDeviceToHost,
              part.chunk);
      begun += part.bytes;
    }
    Part& part = parts.front();
    part.chunk.finish();
    copy_on_host(static_cast<char*>(to) + part.at, part.chunk.data(), part.bytes);
    ended += part.bytes;
    parts.pop_front();
  }
}

}  // namespace plait
