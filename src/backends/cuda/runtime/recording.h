// Work of a queue recorded as a CUDA graph, by capturing a stream of its own: other threads go on with the queue meanwhile.
#pragma once

#include <cuda_runtime_api.h>

#include <memory>
#include <string>

#include "backends/cuda/runtime/blocks.h"
#include "backends/cuda/runtime/stream_queue.h"
#include "backends/device.h"

namespace plait {

/// What the calling thread records on a queue, or null.
struct Recorder {
  memory::Queue queue;
  memory::Queue memory;  // the number by which `Blocks` knows its memory; no queue has it
  cudaStream_t stream;
};
const Recorder* recorder_of(memory::Queue queue) noexcept;

/// Keeps what the work that is recorded now uses (code that a library has loaded) until its recording is gone. Errors: DeviceError.
void keep_while_recorded(const Recorder& recorder, std::shared_ptr<const void> used);

/// cudaFree behind all that the device has to do, which nobody may wait for while something is captured: then at the end of that.
void free_outside_of_captures(int device, void* data);

/// While one lives nothing is captured: for what waits for the device as a whole, as libraries do while they are opened. It waits for
/// captures that are under way, so it is made with no lock held that a thread may want which records. Errors: DeviceError on a thread
/// that records.
class NoCaptures {
 public:
  NoCaptures();
  ~NoCaptures();
  NoCaptures(const NoCaptures&) = delete;
  NoCaptures& operator=(const NoCaptures&) = delete;
};

/// Starts capturing; false where a NoCaptures is there. Errors: DeviceError.
bool begin_capture(memory::Queue queue, int device);
/// Ends it; null where something could not be captured: then its memory is the queue's, and `why_not` says why.
std::unique_ptr<Recording> end_capture(StreamQueue& queue, Blocks& blocks, std::string& why_not);

}  // namespace plait
