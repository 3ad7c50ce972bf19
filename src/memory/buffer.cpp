#include "memory/buffer.h"

#include <new>

#include "memory/allocator.h"
#include "memory/foreign_on_device.h"
#include "memory/poison.h"
#include "memory/residency.h"
#include "memory/size_class.h"
#include "memory/slabs.h"
#include "plait/error.h"

namespace plait {
namespace {

constinit std::atomic<void (*)(ForeignDeleter, void*)> release_hook{nullptr};

}  // namespace

// The objects themselves are small blocks, which does not count as memory of arrays.
struct BufferStorage {
  static constexpr int kClass = memory::size_class(sizeof(Buffer));

  BufferStorage() : memory(memory::take_small(kClass)) {
    if (!memory) throw OutOfMemory({.op = "out of memory", .got = "the system has none for another buffer"});
  }
  ~BufferStorage() {
    if (memory) memory::return_small(memory, kClass);
  }
  BufferStorage(const BufferStorage&) = delete;
  BufferStorage& operator=(const BufferStorage&) = delete;

  Ref<Buffer> become(void* data, int64_t bytes, int64_t capacity) noexcept {
    return Ref<Buffer>::adopt(::new (std::exchange(memory, nullptr)) Buffer(data, bytes, capacity));
  }
  static void release(Buffer* buffer) noexcept {
    buffer->~Buffer();
    memory::return_small(buffer, kClass);
  }

  void* memory;
};

Ref<Buffer> allocate(int64_t bytes) {
  BufferStorage storage;
  const memory::Block block = memory::take_block(bytes);
  memory::poison(static_cast<char*>(block.data) + bytes, block.capacity - bytes);
  return storage.become(block.data, bytes, block.capacity);
}

Ref<Buffer> memory::allocate_on(Queue queue, int64_t bytes) {
  DeviceMemory* devices = device_memory();
  check_internal(devices != nullptr, "memory of a device was asked for where there is none");
  BufferStorage storage;
  auto copies = std::make_unique<std::vector<DeviceCopy>>(1);
  DeviceCopy& copy = copies->front();
  copy.device = devices->device_of(queue);
  copy.current = true;
  copy.home = copy.writer = queue;
  copy.data = devices->allocate(queue, bytes);
  Ref<Buffer> buffer = storage.become(nullptr, bytes, 0);
  buffer->copies_ = std::move(copies);
  buffer->state_.store(Buffer::kHostStale | Buffer::kOnDevice, std::memory_order_relaxed);
  return buffer;
}

void memory::ForeignOnDevice::release(void* self) {
  const std::unique_ptr<ForeignOnDevice> foreign(static_cast<ForeignOnDevice*>(self));
  if (foreign->host.data) return_block(foreign->host);
  foreign->deleter(foreign->context);
}

Ref<Buffer> memory::Residency::adopt(Queue queue, void* data, int64_t bytes, ForeignDeleter deleter, void* context) {
  BufferStorage storage;
  auto copies = std::make_unique<std::vector<DeviceCopy>>(1);
  auto foreign = std::make_unique<ForeignOnDevice>(ForeignOnDevice{data, deleter, context});
  DeviceCopy& copy = copies->front();
  copy.device = device_memory()->device_of(queue);
  copy.current = true;
  copy.home = copy.writer = queue;
  copy.data = data;
  Ref<Buffer> buffer = storage.become(nullptr, bytes, 0);
  buffer->copies_ = std::move(copies);
  buffer->foreign_ = ForeignOnDevice::release;
  buffer->foreign_context_ = foreign.release();
  buffer->state_.store(Buffer::kHostStale | Buffer::kOnDevice, std::memory_order_relaxed);
  return buffer;
}

Ref<Buffer> Buffer::adopt_foreign(void* data, int64_t bytes, bool writable, ForeignDeleter deleter, void* context) {
  check_internal(deleter != nullptr, "foreign memory came without a deleter");
  Ref<Buffer> buffer = BufferStorage().become(data, bytes, 0);
  buffer->foreign_ = deleter;
  buffer->foreign_context_ = context;
  if (!writable) buffer->state_.store(kReadOnly, std::memory_order_relaxed);
  return buffer;
}

void Buffer::destroy(Buffer* buffer) noexcept {
  if (buffer->copies_) memory::Residency::release_copies(*buffer);
  if (buffer->foreign_) {
    if (const auto hook = release_hook.load(std::memory_order_acquire)) {
      hook(buffer->foreign_, buffer->foreign_context_);
    } else {
      buffer->foreign_(buffer->foreign_context_);
    }
  } else {
    if (buffer->data_) memory::return_block({buffer->data_, buffer->capacity_});
  }
  BufferStorage::release(buffer);
}

void set_foreign_release_hook(void (*hook)(ForeignDeleter deleter, void* context)) noexcept {
  release_hook.store(hook, std::memory_order_release);
}

bool Buffer::add_view() noexcept {
  uint32_t state = state_.load(std::memory_order_relaxed);
  do {
    if (state & kClaimed) return false;
  } while (!state_.compare_exchange_weak(state, state + 1, std::memory_order_acq_rel, std::memory_order_relaxed));
  return true;
}

void Buffer::remove_view() noexcept {
  if (state_.load(std::memory_order_acquire) & kOnDevice) memory::Residency::host_may_have_changed(*this);
  state_.fetch_sub(1, std::memory_order_acq_rel);
}

bool Buffer::try_claim_donation() noexcept {
  if (foreign_) return false;
  uint32_t state = state_.load(std::memory_order_relaxed);
  do {
    if (state & (kClaimed | kViews)) return false;
  } while (
      !state_.compare_exchange_weak(state, state | kClaimed, std::memory_order_acq_rel, std::memory_order_relaxed));
  return true;
}

void Buffer::end_donation() noexcept { state_.fetch_and(~kClaimed, std::memory_order_acq_rel); }

}  // namespace plait
