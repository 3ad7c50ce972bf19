// A buffer: the identity of some memory, and where its copies are.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <vector>

#include "memory/device.h"
#include "memory/position_note.h"
#include "plait/export.h"
#include "plait/ref.h"
#include "plait/small_vector.h"

namespace plait {

class Buffer;

namespace memory {
class Residency;

/// A buffer whose only copy is on the queue's device, for work enqueued on the queue from now on; contents undefined.
///
/// Threads: any. Errors: OutOfMemory, DeviceError.
[[nodiscard]] Ref<Buffer> allocate_on(Queue queue, int64_t bytes);
}  // namespace memory

inline constexpr int kHost = -1;  // devices count from 0

/// What one device holds of a buffer.
struct DeviceCopy {
  int device = 0;
  void* data = nullptr;
  bool current = false;      // otherwise stale: another memory has newer contents
  memory::Queue home = 0;    // whose memory it is
  memory::Queue writer = 0;  // where the contents come from
  memory::Mark written;      // when they are complete; `at` 0: not before all that the writer has to do by now
  SmallVector<memory::Queue, 2> readers;  // other queues whose work may still use it
};

/// Called on the last release of foreign memory. It may not throw.
using ForeignDeleter = void (*)(void* context);

/// Takes the deletion of foreign memory over, e.g. to queue it until a thread holds Python's lock; null deletes at
/// once.
PLAIT_API void set_foreign_release_hook(void (*hook)(ForeignDeleter deleter, void* context)) noexcept;

/// Memory under one identity: a host block, foreign memory, and copies on devices. residency.h keeps the copies current.
///
/// Units: `bytes` is what was asked for, `capacity` what may be used (0 for foreign memory).
/// Ownership: shared by Ref; the last one returns the block, or calls the foreign deleter through the release hook.
/// Threads: members may be called from any thread; who writes to the contents is for the holders to arrange.
class PLAIT_API Buffer final : public RefCounted {
 public:
  /// Memory of someone else, e.g. imported through DLPack; aligned as it came. `writable` false: it may never be
  /// written to.
  static Ref<Buffer> adopt_foreign(void* data, int64_t bytes, bool writable, ForeignDeleter deleter, void* context);

  /// The host copy; aligned to 64 bytes unless foreign, never null for a block, not even without bytes. Null, or stale, while
  /// `host_current` is false.
  [[nodiscard]] void* data() const noexcept { return data_; }
  [[nodiscard]] int64_t bytes() const noexcept { return bytes_; }
  [[nodiscard]] int64_t capacity() const noexcept { return foreign_ ? 0 : capacity_; }
  [[nodiscard]] bool foreign() const noexcept { return foreign_ != nullptr; }
  [[nodiscard]] bool writable() const noexcept { return !(state_.load(std::memory_order_relaxed) & kReadOnly); }

  // A view is a pointer into the host copy that user code has and may write through. While there is one the buffer is
  // not donated. `add_view` is refused (false) while someone has claimed the donation.
  [[nodiscard]] bool add_view() noexcept;
  void remove_view() noexcept;
  [[nodiscard]] bool user_visible() const noexcept { return state_.load(std::memory_order_acquire) & kViews; }

  /// Claims the right to overwrite the contents. True for one claimant at a time, never while there is a view, never
  /// for foreign memory. It is for a holder of the only reference that leads to the old contents.
  [[nodiscard]] bool try_claim_donation() noexcept;
  void end_donation() noexcept;

  [[nodiscard]] bool host_current() const noexcept { return !(state_.load(std::memory_order_acquire) & kHostStale); }

  static void destroy(Buffer* buffer) noexcept;

 private:
  friend Ref<Buffer> allocate(int64_t bytes);
  friend Ref<Buffer> memory::allocate_on(memory::Queue queue, int64_t bytes);
  friend struct BufferStorage;
  friend class memory::Residency;

  static constexpr uint32_t kClaimed = 1u << 31;
  static constexpr uint32_t kReadOnly = 1u << 30;
  static constexpr uint32_t kHostStale = 1u << 29;
  static constexpr uint32_t kOnDevice = 1u << 28;  // there are copies on devices
  static constexpr uint32_t kNoted = 1u << 27;  // there are notes
  static constexpr uint32_t kViews = kNoted - 1;

  Buffer(void* data, int64_t bytes, int64_t capacity) noexcept : data_(data), bytes_(bytes), capacity_(capacity) {}
  ~Buffer() = default;

  std::atomic<uint32_t> state_{0};
  void* data_;
  int64_t bytes_;
  union {
    int64_t capacity_;  // of a block
    void* foreign_context_;  // of foreign memory
  };
  ForeignDeleter foreign_ = nullptr;
  // Under the lock of memory::Residency:
  std::unique_ptr<std::vector<DeviceCopy>> copies_;
  std::unique_ptr<memory::HeldNotes> notes_;  // of the work that the contents came of
};

/// A buffer for `bytes` bytes, contents undefined, aligned to 64 bytes (2 MiB from 2 MiB on).
///
/// Threads: any. Errors: OutOfMemory with the bytes asked, held and cached.
[[nodiscard]] Ref<Buffer> allocate(int64_t bytes);

}  // namespace plait
