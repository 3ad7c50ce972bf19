// The backend as a whole: devices with their queues and memory.
#pragma once

#include <array>
#include <atomic>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "backends/cuda/runtime/blocks.h"
#include "backends/cuda/runtime/copies.h"
#include "backends/cuda/runtime/stream_queue.h"
#include "backends/device.h"
#include "base/once.h"

namespace plait {

/// Made once and never destroyed: at the end of the process the driver may be gone before the last buffer is.
class CudaBackend final : public DeviceBackend {
 public:
  /// The backend, or null with the reason why there is none; later calls give the same.
  static CudaBackend* instance(std::string& why_not);

  std::string_view name() const override { return "cuda"; }
  int device_count() const override { return static_cast<int>(devices_.size()); }
  DeviceInfo info(int device) const override;
  std::unique_ptr<CompiledRegion> compile_region(RegionProgram region) override;
  const Kernel* find_kernel(std::string_view op) const override;
  bool begin_recording(memory::Queue queue) override;
  std::unique_ptr<Recording> end_recording(memory::Queue queue, std::string& why_not) override;
  void copy_all(memory::Queue queue, std::span<const Piece> pieces) override;

  void* native_stream(memory::Queue queue) override { return at(queue).stream_for_use(); }
  void wait_for_native(memory::Queue queue, void* stream) noexcept override;

  memory::Queue open_queue(int device) override;
  int device_of(memory::Queue queue) const override { return at(queue).device(); }
  memory::Mark mark(memory::Queue queue) override;
  void wait(memory::Queue queue, memory::Mark mark) override;
  bool reached(memory::Mark mark) override;
  void finish(memory::Mark mark) override;

  void* allocate(memory::Queue queue, int64_t bytes) override;
  void release(memory::Queue queue, void* data) noexcept override;
  void upload(memory::Queue queue, void* to, const void* from, int64_t bytes) override;
  void download(memory::Mark after, void* to, const void* from, int64_t bytes) override;
  void copy(memory::Queue queue, void* to, const void* from, int64_t bytes) override;
  void* allocate_shared(int64_t bytes) override;

  Stats stats(int device) override;
  void reset_peak(int device) override;
  void set_limit(int device, int64_t bytes) override;
  void set_cache_limit(int device, int64_t bytes) override;
  void clear_cache(int device) override;

  /// Errors: DeviceError for a number that no queue has.
  StreamQueue& at(memory::Queue queue) const;

 private:
  // Memory of one device, as the driver gives it.
  struct Source final : MemorySource {
    explicit Source(int device) : device(device) {}
    void* map(int64_t bytes) override;
    void unmap(void* data) noexcept override;
    const int device;
  };
  struct Device {
    Device(int index, DeviceInfo info, Blocks::Cut cut)
        : info(std::move(info)), source(index), blocks(source, this->info.memory_bytes, cut) {}
    const DeviceInfo info;
    Source source;
    Blocks blocks;
    Once opened;
    // Copies have streams of their own, so that they run beside kernels. A download has one to itself, so that it waits
    // for nobody else's.
    std::unique_ptr<StreamQueue> uploads;  // opened with the first queue
    std::mutex mutex;
    std::vector<std::unique_ptr<StreamQueue>> idle_downloads;
  };
  static constexpr size_t kMostQueues = 4096;

  explicit CudaBackend(std::vector<DeviceInfo> infos);
  Device& device(int index) const;
  void open(int index);
  void finish_all(int device);

  std::vector<std::unique_ptr<Device>> devices_;
  std::mutex mutex_;  // over opening queues
  std::atomic<uint32_t> queue_count_{0};
  std::array<std::atomic<StreamQueue*>, kMostQueues> queues_{};
  Copies copies_;
};

}  // namespace plait
