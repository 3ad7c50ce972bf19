// Memory of someone else on a device: what Residency::adopt makes the context of its buffer.
#pragma once

#include "memory/allocator.h"
#include "memory/buffer.h"

namespace plait::memory {

struct ForeignOnDevice {
  void* data;
  ForeignDeleter deleter;
  void* context;
  Block host{};  // the host copy, once there is one

  /// The ForeignDeleter of such a buffer.
  static void release(void* self);
};

}  // namespace plait::memory
