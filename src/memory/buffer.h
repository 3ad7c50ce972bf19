#pragma once
#include <cstdint>
#include <cstdlib>
#include "plait/ref.h"
namespace plait {
class Buffer final : public RefCounted {
 public:
  void* data() const { return data_; }
  int64_t bytes() const { return bytes_; }
  ~Buffer() { std::free(data_); }
  void* data_ = nullptr; int64_t bytes_ = 0;
};
inline Ref<Buffer> allocate(int64_t bytes) { auto b = make_ref<Buffer>(); b->data_ = std::aligned_alloc(64, (bytes + 127) / 64 * 64); b->bytes_ = bytes; return b; }
}
