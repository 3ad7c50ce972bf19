#include "backends/cuda/runtime/cuda_backend.h"

#include <cstdlib>
#include <cstring>
#include <string_view>
#include <utility>

#include "backends/cuda/kernels/copy.h"
#include "backends/cuda/kernels/kernels.h"
#include "backends/cuda/kernels/prepare.h"
#include "backends/cuda/regions/regions.h"
#include "backends/cuda/runtime/cuda.h"
#include "backends/cuda/runtime/errors.h"
#include "backends/cuda/runtime/recording.h"
#include "memory/allocator.h"
#include "plait/error.h"

namespace plait {
namespace {

// A tool that watches memory (compute-sanitizer) sees more where arrays share none.
Blocks::Cut wanted_cut() {
  const char* const set = std::getenv("PLAIT_DEVICE_MEMORY");
  if (!set || !*set) return Blocks::Cut::segments;
  if (std::string_view(set) == "exact") return Blocks::Cut::none;
  throw DeviceError({.op = "PLAIT_DEVICE_MEMORY", .got = set, .accepts = "exact"});
}

}  // namespace

CudaBackend::CudaBackend(std::vector<DeviceInfo> infos) {
  for (size_t i = 0; i < infos.size(); ++i)
    devices_.push_back(std::make_unique<Device>(static_cast<int>(i), std::move(infos[i]), wanted_cut()));
}

DeviceInfo CudaBackend::info(int device) const { return this->device(device).info; }

std::unique_ptr<CompiledRegion> CudaBackend::compile_region(RegionProgram region) {
  return compile_region_cuda(std::move(region));
}

const Kernel* CudaBackend::find_kernel(std::string_view op) const { return cuda_kernel(op); }

// ---- recordings ----

void refuse_recording(memory::Queue queue, const char* what) {
  if (recorder_of(queue))
    throw DeviceError(
        {.op = what, .got = "work that cannot be recorded", .accepts = "launches and copies on the device"});
}

bool CudaBackend::begin_recording(memory::Queue queue) { return begin_capture(queue, at(queue).device()); }
std::unique_ptr<Recording> CudaBackend::end_recording(memory::Queue queue, std::string& why_not) {
  StreamQueue& stream = at(queue);
  return end_capture(stream, device(stream.device()).blocks, why_not);
}

void CudaBackend::copy_all(memory::Queue queue, std::span<const Piece> pieces) {
  const DeviceScope scope(device_of(queue));
  cuda::copy_pieces(queue, pieces);
}

// ---- queues ----

CudaBackend::Device& CudaBackend::device(int index) const {
  if (index >= 0 && index < device_count()) return *devices_[static_cast<size_t>(index)];
  throw DeviceError({.op = "cuda",
                     .got = "device " + std::to_string(index),
                     .accepts = "0 to " + std::to_string(device_count() - 1)});
}

void CudaBackend::open(int index) {
  Device& opened = device(index);
  opened.opened.run([&] {
    const DeviceScope scope(index);
    opened.uploads = std::make_unique<StreamQueue>(index);
    for (int other = 0; other < device_count(); ++other) {  // copies between devices that see each other skip the host
      int can = 0;
      if (other == index || cudaDeviceCanAccessPeer(&can, index, other) != cudaSuccess || !can) continue;
      if (cudaDeviceEnablePeerAccess(other, 0) != cudaSuccess) cudaGetLastError();
    }
    copies_.prepare(*opened.uploads);
    prepare_regions_cuda();
    cuda::prepare_libraries(index);
  });
}

memory::Queue CudaBackend::open_queue(int device) {
  check_usable();
  open(device);
  auto queue = std::make_unique<StreamQueue>(device);
  const std::lock_guard lock(mutex_);
  const uint32_t number = queue_count_.load();
  if (number == kMostQueues) throw DeviceError({.op = "cuda", .got = "too many queues: " + std::to_string(number)});
  queues_[number].store(queue.release(), std::memory_order_release);
  queue_count_.store(number + 1);
  return number;
}

StreamQueue& CudaBackend::at(memory::Queue queue) const {
  check_usable();
  StreamQueue* const found = queue < kMostQueues ? queues_[queue].load(std::memory_order_acquire) : nullptr;
  if (!found) throw DeviceError({.op = "cuda", .got = "queue " + std::to_string(queue) + ", which nobody opened"});
  return *found;
}

memory::Mark CudaBackend::mark(memory::Queue queue) {
  refuse_recording(queue, "mark");
  return {queue, at(queue).mark()};
}

void CudaBackend::wait(memory::Queue queue, memory::Mark mark) {
  if (mark.at == 0) return;
  refuse_recording(queue, "wait");
  at(queue).wait(at(mark.queue), mark.at);
}

void CudaBackend::wait_for_native(memory::Queue queue, void* stream) noexcept {
  try {
    StreamQueue& waiting = at(queue);
    const DeviceScope scope(waiting.device());
    cudaEvent_t event = nullptr;
    check_cuda(cudaEventCreateWithFlags(&event, cudaEventDisableTiming), "making an event");
    const bool recorded = cudaEventRecord(event, static_cast<cudaStream_t>(stream)) == cudaSuccess;
    if (recorded) check_cuda(cudaStreamWaitEvent(waiting.stream_for_use(), event, 0), "waiting for another library");
    if (!recorded) cudaGetLastError();  // the stream is gone, and so is its work
    check_cuda(cudaEventDestroy(event), "giving an event back");
  } catch (...) {
    // A fault is kept, and the next call reports it.
  }
}

bool CudaBackend::reached(memory::Mark mark) { return mark.at == 0 || at(mark.queue).reached(mark.at); }

void CudaBackend::finish(memory::Mark mark) {
  if (mark.at == 0) return;
  at(mark.queue).finish(mark.at);
}

// ---- memory ----

void* CudaBackend::Source::map(int64_t bytes) {
  const DeviceScope scope(device);
  void* data = nullptr;
  const cudaError_t error = cudaMalloc(&data, static_cast<size_t>(bytes));
  if (error == cudaErrorMemoryAllocation) {
    cudaGetLastError();
    return nullptr;
  }
  check_cuda(error, "taking memory of the device");
  return data;
}

void CudaBackend::Source::unmap(void* data) noexcept {
  if (!usable()) return;
  try {
    free_outside_of_captures(device, data);
  } catch (...) {
    // A fault is kept, and the next call reports it.
  }
}

void* CudaBackend::allocate(memory::Queue queue, int64_t bytes) {
  memory::count_device_allocation(bytes);
  StreamQueue& stream = at(queue);
  const int index = stream.device();
  Blocks& blocks = device(index).blocks;
  const Recorder* const recorder = recorder_of(queue);
  const memory::Queue owner = recorder ? recorder->memory : queue;
  if (void* data = blocks.allocate(owner, bytes, stream.uses())) return data;
  finish_all(index);
  blocks.clear();
  if (void* data = blocks.allocate(owner, bytes, stream.uses())) return data;

  size_t unused = 0, total = 0;
  const DeviceScope scope(index);
  check_cuda(cudaMemGetInfo(&unused, &total), "the device's memory");
  throw memory::out_of_device_memory(bytes, blocks.stats(), static_cast<int64_t>(unused));
}

void CudaBackend::finish_all(int device) {
  for (uint32_t queue = 0; queue < queue_count_.load(); ++queue)
    if (StreamQueue& stream = at(queue); stream.device() == device) stream.finish(stream.mark());
  if (StreamQueue* uploads = this->device(device).uploads.get()) uploads->finish(uploads->mark());
}

void CudaBackend::release(memory::Queue queue, void* data) noexcept {
  StreamQueue* const stream = queue < kMostQueues ? queues_[queue].load(std::memory_order_acquire) : nullptr;
  if (!stream || !usable()) return;  // after a fault, or in the child of a fork, nothing is handed out again
  devices_[static_cast<size_t>(stream->device())]->blocks.release(data, stream->next_mark());
}

CudaBackend::Stats CudaBackend::stats(int device) { return this->device(device).blocks.stats(); }
void CudaBackend::reset_peak(int device) { this->device(device).blocks.reset_peak(); }
void CudaBackend::set_limit(int device, int64_t bytes) { this->device(device).blocks.set_limit(bytes); }

void CudaBackend::set_cache_limit(int device, int64_t bytes) {
  check_usable();
  this->device(device).blocks.set_cache_limit(bytes);
}

void CudaBackend::clear_cache(int device) {
  check_usable();
  finish_all(device);
  this->device(device).blocks.clear();
}

// ---- copies ----

void CudaBackend::upload(memory::Queue queue, void* to, const void* from, int64_t bytes) {
  if (bytes <= 0) return;
  refuse_recording(queue, "upload");
  StreamQueue& stream = at(queue);
  Device& device = this->device(stream.device());
  if (copies_.small(bytes)) return copies_.upload(stream, to, from, bytes);
  // Memory that came from `allocate` just now, with nothing enqueued since, is waited for as it was given back; else
  // anything on the queue may use it.
  const auto origin = device.blocks.origin(to);
  if (!origin || origin->uses != stream.uses() || origin->free_after >= stream.next_mark()) {
    device.uploads->wait(stream, stream.mark());
  } else if (origin->free_after > 0) {
    device.uploads->wait(stream, origin->free_after);
  }
  try {
    copies_.upload(*device.uploads, to, from, bytes);
  } catch (...) {  // who has the memory next must not meet what is on its way
    stream.wait(*device.uploads, device.uploads->mark());
    throw;
  }
  stream.wait(*device.uploads, device.uploads->mark());
}

void CudaBackend::download(memory::Mark after, void* to, const void* from, int64_t bytes) {
  if (bytes <= 0) return;
  StreamQueue& stream = at(after.queue);
  Device& device = this->device(stream.device());
  std::unique_ptr<StreamQueue> own;
  {
    const std::lock_guard lock(device.mutex);
    if (!device.idle_downloads.empty()) {
      own = std::move(device.idle_downloads.back());
      device.idle_downloads.pop_back();
    }
  }
  if (!own) own = std::make_unique<StreamQueue>(stream.device());
  const auto give_back = [&device](StreamQueue* idle) {
    const std::lock_guard lock(device.mutex);
    device.idle_downloads.emplace_back(idle);
  };
  const std::unique_ptr<StreamQueue, decltype(give_back)> lease(own.release(), give_back);
  if (after.at > 0) lease->wait(stream, after.at);
  copies_.download(*lease, to, from, bytes);
}

void* CudaBackend::allocate_shared(int64_t bytes) {
  void* data = nullptr;
  check_cuda(cudaHostAlloc(&data, static_cast<size_t>(bytes), cudaHostAllocPortable | cudaHostAllocMapped),
             "memory for notes of the device");
  std::memset(data, 0, static_cast<size_t>(bytes));
  return data;
}

void CudaBackend::copy(memory::Queue queue, void* to, const void* from, int64_t bytes) {
  if (bytes <= 0) return;
  check_cuda(cudaMemcpyAsync(to, from, static_cast<size_t>(bytes), cudaMemcpyDefault, stream_of(queue)),
             "a copy on the device");
}

}  // namespace plait
