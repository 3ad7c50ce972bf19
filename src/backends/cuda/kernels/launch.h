// What every kernel's host side needs: the stream, scratch memory, sizes of launches.
#pragma once

#include <algorithm>
#include <cstdint>
#include <utility>
#include <vector>

#include "backends/cuda/runtime/cuda.h"
#include "backends/kernel.h"

namespace plait::cuda {

/// The queue of one call of a kernel, its device current, with scratch memory that is released behind what was launched.
class Work {
 public:
  explicit Work(const KernelArgs& args) : Work(args.queue) {}
  explicit Work(memory::Queue queue) : queue_(queue), scope_(device_of(queue)), stream_(stream_of(queue)) {}
  ~Work() {
    for (void* data : scratch_) cuda_memory().release(queue_, data);
  }
  Work(const Work&) = delete;
  Work& operator=(const Work&) = delete;

  memory::Queue queue() const { return queue_; }
  cudaStream_t stream() const { return stream_; }

  template <class T>
  T* scratch(int64_t count) {
    scratch_.reserve(scratch_.size() + 1);
    void* data = cuda_memory().allocate(queue_, std::max<int64_t>(1, count * static_cast<int64_t>(sizeof(T))));
    scratch_.push_back(data);
    return static_cast<T*>(data);
  }

  /// After each launch.
  void launched(const char* what) const { check_cuda(cudaGetLastError(), what); }

 private:
  memory::Queue queue_;
  DeviceScope scope_;
  cudaStream_t stream_;
  std::vector<void*> scratch_;
};

inline constexpr int kThreads = 256;

/// Blocks for `count` threads' work; kernels walk the rest of their range in steps of the grid.
inline unsigned blocks_for(int64_t count, int threads = kThreads) {
  constexpr int64_t kMost = 1 << 15;
  return static_cast<unsigned>(std::clamp<int64_t>((count + threads - 1) / threads, 1, kMost));
}

/// Axes before, at and behind an axis.
struct Along {
  int64_t outer = 1, n = 1, inner = 1;
  Along(const TensorView& t, size_t axis) {
    for (size_t i = 0; i < axis; ++i) outer *= t.shape[i];
    n = t.shape[axis];
    for (size_t i = axis + 1; i < t.shape.size(); ++i) inner *= t.shape[i];
  }
};

/// Calls f.template operator()<T>() with the unsigned integer of `bytes` bytes.
template <class F>
decltype(auto) dispatch_width(int bytes, F&& f) {
  switch (bytes) {
    case 1: return f.template operator()<uint8_t>();
    case 2: return f.template operator()<uint16_t>();
    case 4: return f.template operator()<uint32_t>();
    default: return f.template operator()<unsigned long long>();
  }
}

/// Calls f.template operator()<Index>() with 32 bits where `count` fits: their division is several times faster.
template <class F>
decltype(auto) dispatch_index(int64_t count, F&& f) {
  if (count <= INT32_MAX) return f.template operator()<uint32_t>();
  return f.template operator()<unsigned long long>();
}

}  // namespace plait::cuda
