#include "backends/cuda/runtime/copies.h"

#include <algorithm>
#include <atomic>
#include <bit>
#include <cstring>
#include <deque>
#include <memory>
#include <mutex>
#include <optional>
#include <utility>
#include <vector>

#include "backends/cuda/runtime/cuda.h"
#include "backends/cuda/runtime/errors.h"
#include "base/parallel.h"

namespace plait {
namespace {

void enqueue(StreamQueue& queue, void* to, const void* from, int64_t bytes, cudaMemcpyKind kind) {
  check_cuda(cudaMemcpyAsync(to, from, static_cast<size_t>(bytes), kind, queue.stream_for_use()),
             kind == cudaMemcpyHostToDevice ? "upload" : "download");
}

/// Fills pinned memory. A device reads lines that are dirty in the caches of cores at a third of the speed: they are handed down to the
/// cache that all share, where the processor knows how (elsewhere the instruction does nothing).
void fill(char* to, const char* from, int64_t bytes) {
  std::memcpy(to, from, static_cast<size_t>(bytes));
#if defined(__x86_64__)
  for (int64_t i = 0; i < bytes; i += 64) asm volatile("cldemote %0" : : "m"(to[i]));
#endif
}

/// Waits on several threads for marks of one queue; one of them asks the driver.
class Arrivals {
 public:
  explicit Arrivals(StreamQueue& queue) : queue_(queue) {}
  void wait_for(uint64_t mark) {
    poll_until([&] {
      if (queue_.known(mark)) return true;
      const std::unique_lock asks(asking_, std::try_to_lock);
      return asks.owns_lock() && queue_.reached(mark);
    });
  }

 private:
  StreamQueue& queue_;
  std::mutex asking_;
};

}  // namespace

/// Part of a copy: the pinned chunks it passes through, in groups of pieces that the device copies at once.
class Copies::Window {
 public:
  /// Of the copy's bytes from `at` on. Nothing where all chunks are in use and `wait` is false.
  static std::optional<Window> take(const Sizes& sizes, Staging& staging, Staging::Which which, int64_t at,
                                    int64_t bytes, bool wait) {
    std::optional<Staging::Lease> first = staging.try_lease(which);
    if (!first && !wait) return std::nullopt;
    if (!first) first.emplace(staging, which);
    Window window(sizes, staging.chunk_bytes(), at);
    window.chunks_.push_back(std::move(*first));
    bytes = std::min(bytes - at, std::max(sizes.window, staging.chunk_bytes()));
    while (window.bytes_of_chunks() < bytes) {
      std::optional<Staging::Lease> more = staging.try_lease(which);
      if (!more) break;
      window.chunks_.push_back(std::move(*more));
    }
    window.bytes_ = std::min(bytes, window.bytes_of_chunks());
    return window;
  }

  /// A range of the window, counted from its begin. Windows begin at whole chunks, so that no group lies in two.
  struct Group {
    int64_t begin, bytes;
  };
  Group group_of(int64_t offset) const {
    const int64_t from_start = at_ + offset;
    const int64_t size =
        std::clamp(static_cast<int64_t>(std::bit_floor(static_cast<uint64_t>(from_start))), sizes_.least, sizes_.most);
    const int64_t begin = from_start / size * size - at_;
    return {begin, std::min(size, bytes_ - begin)};
  }
  size_t number_of(const Group& group) const { return static_cast<size_t>(group.begin / sizes_.least); }
  size_t most_groups() const { return static_cast<size_t>(bytes_ / sizes_.least + 1); }

  int64_t at() const { return at_; }
  int64_t bytes() const { return bytes_; }
  char* data(int64_t offset) const {
    return chunks_[static_cast<size_t>(offset / chunk_bytes_)].data() + offset % chunk_bytes_;
  }
  void busy_until(StreamQueue& queue, uint64_t mark) {
    for (Staging::Lease& chunk : chunks_) chunk.busy_until(queue, mark);
  }

  std::vector<uint64_t> marks;  // by number of the group: it has arrived

 private:
  Window(const Sizes& sizes, int64_t chunk_bytes, int64_t at) : sizes_(sizes), chunk_bytes_(chunk_bytes), at_(at) {}
  int64_t bytes_of_chunks() const { return chunk_bytes_ * static_cast<int64_t>(chunks_.size()); }

  Sizes sizes_;
  int64_t chunk_bytes_;
  int64_t at_;
  int64_t bytes_ = 0;
  std::vector<Staging::Lease> chunks_;
};

void Copies::prepare(StreamQueue& queue) {
  std::vector<char> host(static_cast<size_t>(middle_.chunk_bytes()));
  const auto bytes = static_cast<int64_t>(host.size());
  struct OnDevice {
    void* data = nullptr;
    ~OnDevice() { cudaFree(data); }
  } device;
  check_cuda(cudaMalloc(&device.data, host.size()), "memory for a first copy");
  for (int64_t part : {int64_t{1}, bytes}) {
    upload(queue, device.data, host.data(), part);
    download(queue, host.data(), device.data, part);
  }
}

// Threads fill pieces; whoever completes a group sends it off.
void Copies::upload(StreamQueue& queue, void* to, const void* from, int64_t bytes) {
  Staging& staging = staging_for(bytes);
  auto* const target = static_cast<char*>(to);
  const auto* const source = static_cast<const char*>(from);
  if (small(bytes)) {
    Staging::Lease chunk(staging, Staging::Which::oldest);
    std::memcpy(chunk.data(), from, static_cast<size_t>(bytes));
    enqueue(queue, to, chunk.data(), bytes, cudaMemcpyHostToDevice);
    return chunk.busy_until(queue, queue.mark());
  }
  for (int64_t at = 0; at < bytes;) {
    Window window = *Window::take(sizes_, staging, Staging::Which::newest, at, bytes, true);
    const auto missing = std::make_unique<std::atomic<int64_t>[]>(window.most_groups());
    for (int64_t i = 0; i < window.bytes();) {
      const Window::Group group = window.group_of(i);
      missing[window.number_of(group)] = group.bytes;
      i += group.bytes;
    }
    try {
      parallel_for(window.bytes(), sizes_.piece, [&](int64_t begin, int64_t end) {
        fill(window.data(begin), source + at + begin, end - begin);
        const Window::Group group = window.group_of(begin);
        if (missing[window.number_of(group)].fetch_sub(end - begin, std::memory_order_acq_rel) == end - begin)
          enqueue(queue, target + at + group.begin, window.data(group.begin), group.bytes, cudaMemcpyHostToDevice);
      });
    } catch (...) {  // an interrupt: some groups are on their way
      window.busy_until(queue, queue.mark());
      throw;
    }
    window.busy_until(queue, queue.mark());
    at += window.bytes();
  }
}

// The device is given two windows, so that it has one while threads empty the other.
void Copies::download(StreamQueue& queue, void* to, const void* from, int64_t bytes) {
  Staging& staging = staging_for(bytes);
  auto* const target = static_cast<char*>(to);
  const auto* const source = static_cast<const char*>(from);
  Arrivals arrivals(queue);
  std::deque<Window> windows;
  for (int64_t begun = 0, ended = 0; ended < bytes;) {
    while (begun < bytes && windows.size() < 2) {
      std::optional<Window> next = Window::take(sizes_, staging, Staging::Which::oldest, begun, bytes, windows.empty());
      if (!next) break;
      Window& window = windows.emplace_back(std::move(*next));
      window.marks.resize(window.most_groups());
      for (int64_t i = 0; i < window.bytes();) {
        const Window::Group group = window.group_of(i);
        enqueue(queue, window.data(i), source + begun + i, group.bytes, cudaMemcpyDeviceToHost);
        window.marks[window.number_of(group)] = queue.mark();
        window.busy_until(queue, window.marks[window.number_of(group)]);
        i += group.bytes;
      }
      begun += window.bytes();
    }
    const Window& window = windows.front();
    queue.finish(window.marks.front());  // the work before it may take long: the other threads are not asked in yet
    parallel_for(window.bytes(), sizes_.piece, [&](int64_t begin, int64_t end) {
      arrivals.wait_for(window.marks[window.number_of(window.group_of(begin))]);
      std::memcpy(target + window.at() + begin, window.data(begin), static_cast<size_t>(end - begin));
    });
    ended += window.bytes();
    windows.pop_front();
  }
}

}  // namespace plait
