// Work of a queue recorded as a CUDA graph, by capturing a stream of its own: other threads go on with the queue meanwhile.
#pragma once

#include <cuda_runtime_api.h>

#include <memory>

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

/// Starts capturing. Errors: DeviceError.
void begin_capture(memory::Queue queue, int device);
/// Ends it; null where something could not be captured: then its memory is the queue's.
std::unique_ptr<Recording> end_capture(StreamQueue& queue, Blocks& blocks);

}  // namespace plait
