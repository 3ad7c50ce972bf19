#include "backends/cuda/runtime/recording.h"

#include <atomic>
#include <condition_variable>
#include <map>
#include <mutex>
#include <optional>
#include <utility>
#include <vector>

#include "backends/cuda/runtime/cuda.h"
#include "backends/cuda/runtime/errors.h"
#include "plait/error.h"

namespace plait {
namespace {

constinit thread_local std::optional<Recorder> recorder;
constinit std::atomic<memory::Queue> next_memory{Blocks::kFirstOfRecordings};

/// Streams for capturing, used again: handles of libraries remember the last stream they were given.
struct Streams {
  std::mutex mutex;
  std::map<int, std::vector<cudaStream_t>> idle;  // by device
};
Streams& streams() {
  static auto* const all = new Streams;  // leaked: threads may record while the process ends
  return *all;
}

cudaStream_t take_stream(int device) {
  {
    const std::lock_guard lock(streams().mutex);
    if (auto& idle = streams().idle[device]; !idle.empty()) {
      const cudaStream_t stream = idle.back();
      idle.pop_back();
      return stream;
    }
  }
  cudaStream_t stream = nullptr;
  check_cuda(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking), "a stream for recording");
  return stream;
}
void give_stream(int device, cudaStream_t stream) {
  const std::lock_guard lock(streams().mutex);
  streams().idle[device].push_back(stream);
}

/// While a stream is captured nobody may wait for the device as a whole.
struct Captures {
  std::mutex mutex;
  std::condition_variable ended;
  int under_way = 0, forbidden = 0;  // captures, and those who have no captures beside them
  std::vector<std::pair<int, void*>> to_free;  // device, memory
};
Captures& captures() {
  static auto* const all = new Captures;
  return *all;
}

void free_now(int device, void* data) {
  const DeviceScope scope(device);
  check_cuda(cudaDeviceSynchronize(), "work before memory of the device is given back");
  check_cuda(cudaFree(data), "giving memory of the device back");
}

void capture_ended() noexcept {
  const std::lock_guard lock(captures().mutex);
  if (--captures().under_way > 0) return;
  captures().ended.notify_all();
  for (const auto& [device, data] : std::exchange(captures().to_free, {})) try {
      free_now(device, data);
    } catch (...) {
      // A fault is kept, and the next call reports it.
    }
}

/// What recordings that are gone have kept. It goes before the next one begins: where CUDA tells of their end CUDA must not be called.
struct Kept {
  std::mutex mutex;
  std::vector<std::shared_ptr<const void>> of_gone;
};
Kept& kept() {
  static auto* const all = new Kept;
  return *all;
}
void let_go_of_kept() {
  std::vector<std::shared_ptr<const void>> gone;  // without the lock
  const std::lock_guard lock(kept().mutex);
  gone.swap(kept().of_gone);
}

class Graph final : public Recording {
 public:
  Graph(StreamQueue& queue, Blocks& blocks, memory::Queue memory, cudaGraphExec_t graph)
      : queue_(queue), blocks_(blocks), memory_(memory), bytes_(blocks.hold(memory)), graph_(graph) {}
  ~Graph() override {
    if (!usable()) return;  // nothing can be waited for: the memory stays
    try {
      queue_.finish(queue_.mark());
    } catch (...) {
      return;
    }
    const DeviceScope scope(queue_.device());
    if (cudaGraphExecDestroy(graph_) != cudaSuccess) cudaGetLastError();
    blocks_.drop(memory_);
  }
  void replay() override {
    const DeviceScope scope(queue_.device());
    check_cuda(cudaGraphLaunch(graph_, queue_.stream_for_use()), "launch of a recording");
  }
  int64_t bytes() const override { return bytes_; }

 private:
  StreamQueue& queue_;
  Blocks& blocks_;
  const memory::Queue memory_;
  const int64_t bytes_;
  cudaGraphExec_t graph_;
};

}  // namespace

const Recorder* recorder_of(memory::Queue queue) noexcept {
  return recorder && recorder->queue == queue ? &*recorder : nullptr;
}

void keep_while_recorded(const Recorder& made, std::shared_ptr<const void> used) {
  using Held = std::shared_ptr<const void>;
  cudaStreamCaptureStatus status = cudaStreamCaptureStatusNone;
  cudaGraph_t graph = nullptr;
  check_cuda(cudaStreamGetCaptureInfo(made.stream, &status, nullptr, &graph, nullptr, nullptr, nullptr), "recording");
  if (status != cudaStreamCaptureStatusActive) return;  // it has failed, and its end says so
  auto held = std::make_unique<Held>(std::move(used));
  cudaUserObject_t object = nullptr;
  const auto end = [](void* data) {
    const std::unique_ptr<Held> last(static_cast<Held*>(data));
    const std::lock_guard lock(kept().mutex);
    kept().of_gone.push_back(std::move(*last));
  };
  check_cuda(cudaUserObjectCreate(&object, held.get(), end, 1, cudaUserObjectNoDestructorSync), "recording");
  held.release();
  const cudaError_t error = cudaGraphRetainUserObject(graph, object, 1, cudaGraphUserObjectMove);
  if (error != cudaSuccess) cudaUserObjectRelease(object, 1);
  check_cuda(error, "recording");
}

void free_outside_of_captures(int device, void* data) {
  const std::lock_guard lock(captures().mutex);
  if (captures().under_way > 0)
    captures().to_free.emplace_back(device, data);
  else
    free_now(device, data);
}

NoCaptures::NoCaptures() {
  if (recorder)
    throw DeviceError({.op = "recording", .got = "the first use of a library", .hint = "it is opened by a run before"});
  std::unique_lock lock(captures().mutex);
  ++captures().forbidden;
  captures().ended.wait(lock, [] { return captures().under_way == 0; });
}
NoCaptures::~NoCaptures() {
  const std::lock_guard lock(captures().mutex);
  --captures().forbidden;
}

bool begin_capture(memory::Queue queue, int device) {
  check_internal(!recorder, "a thread records two things at once");
  const DeviceScope scope(device);
  const cudaStream_t stream = take_stream(device);
  {
    const std::lock_guard lock(captures().mutex);
    if (captures().forbidden > 0) {
      give_stream(device, stream);
      return false;
    }
    if (captures().under_way == 0) let_go_of_kept();  // code is unloaded, for which the device may be waited for
    // Relaxed: taking memory is no work of the stream, and other threads may do what they like.
    const cudaError_t error = cudaStreamBeginCapture(stream, cudaStreamCaptureModeRelaxed);
    if (error != cudaSuccess) give_stream(device, stream);
    check_cuda(error, "recording");
    ++captures().under_way;
  }
  recorder = Recorder{queue, next_memory++, stream};
  return true;
}

std::unique_ptr<Recording> end_capture(StreamQueue& queue, Blocks& blocks, std::string& why_not) {
  const Recorder made = *std::exchange(recorder, std::nullopt);
  const DeviceScope scope(queue.device());
  cudaGraph_t graph = nullptr;
  cudaGraphExec_t ready = nullptr;
  cudaError_t error = cudaStreamEndCapture(made.stream, &graph);
  capture_ended();
  give_stream(queue.device(), made.stream);
  if (error == cudaSuccess && graph) error = cudaGraphInstantiate(&ready, graph, 0);
  if (graph) cudaGraphDestroy(graph);
  if (error != cudaSuccess || !ready) {
    why_not = cudaGetErrorName(error);
    cudaGetLastError();
    blocks.adopt(made.memory, made.queue);  // some of it may be in use still
    return nullptr;
  }
  return std::make_unique<Graph>(queue, blocks, made.memory, ready);
}

}  // namespace plait
