#include "backends/cuda/runtime/stream_queue.h"

#include "backends/cuda/runtime/cuda.h"
#include "backends/cuda/runtime/errors.h"
#include "plait/error.h"

namespace plait {
namespace {

constexpr size_t kAskWhenPending = 64;  // marks nobody asks about are retired now and then

}  // namespace

StreamQueue::StreamQueue(int device) : device_(device) {
  const DeviceScope scope(device);
  check_cuda(cudaStreamCreateWithFlags(&stream_, cudaStreamNonBlocking), "opening a queue");
}

uint64_t StreamQueue::mark() {
  check_usable();
  const DeviceScope scope(device_);
  const std::lock_guard lock(mutex_);
  if (pending_.size() >= kAskWhenPending) ask(done_.load() + pending_.size() / 2);
  if (spare_.empty()) {
    cudaEvent_t event = nullptr;
    check_cuda(cudaEventCreateWithFlags(&event, cudaEventDisableTiming), "making an event");
    spare_.push_back(event);
  }
  check_cuda(cudaEventRecord(spare_.back(), stream_), "marking a queue");
  pending_.push_back(spare_.back());
  spare_.pop_back();
  const uint64_t at = recorded_.load(std::memory_order_relaxed) + 1;
  recorded_.store(at, std::memory_order_release);
  return at;
}

bool StreamQueue::reached(uint64_t at) {
  if (known(at)) return true;
  check_usable();
  const std::lock_guard lock(mutex_);
  check_internal(at <= recorded_.load(), "a mark that its queue never made");
  return at <= done_.load() || ask(at);
}

void StreamQueue::finish(uint64_t at) {
  poll_until([&] { return reached(at); });
}

void StreamQueue::wait(StreamQueue& other, uint64_t at) {
  if (&other == this || other.reached(at)) return;
  const std::lock_guard lock(other.mutex_);  // the event may not be recorded anew in between
  if (at <= other.done_.load()) return;
  check_cuda(cudaStreamWaitEvent(stream_for_use(), other.event_of(at), 0), "waiting for another queue");
}

bool StreamQueue::ask(uint64_t at) {
  const cudaError_t error = cudaEventQuery(event_of(at));
  if (error == cudaErrorNotReady) {
    cudaGetLastError();  // it is no error, but it would be found there
    return false;
  }
  check_cuda(error, "work on the device");
  retire(at);
  return true;
}

void StreamQueue::retire(uint64_t at) {  // a stream runs in order: what was marked before is done too
  uint64_t done = done_.load();
  for (; done < at; ++done) {
    spare_.push_back(pending_.front());
    pending_.pop_front();
  }
  done_.store(done, std::memory_order_release);
}

}  // namespace plait
