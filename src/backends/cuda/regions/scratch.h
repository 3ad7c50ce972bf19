// Memory of a queue for as long as work is being enqueued.
#pragma once

#include <algorithm>

#include "backends/cuda/runtime/cuda.h"

namespace plait::cuda {

class Scratch {
 public:
  Scratch(memory::Queue queue, int64_t bytes)
      : queue_(queue), data_(bytes > 0 ? cuda_memory().allocate(queue, bytes) : nullptr) {}
  ~Scratch() {
    if (data_) cuda_memory().release(queue_, data_);
  }
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;

  char* bytes() const { return static_cast<char*>(data_); }
  unsigned long long* words() const { return static_cast<unsigned long long*>(data_); }

 private:
  memory::Queue queue_;
  void* data_;
};

}  // namespace plait::cuda
