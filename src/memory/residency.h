// Which memories hold the contents of a buffer, and making them current where they are needed.
#pragma once

#include <string>

#include "base/function_ref.h"
#include "memory/buffer.h"

namespace plait::memory {

/// The user's line that a transfer is for; asked only when there is one.
using Where = FunctionRef<std::string()>;

/// All of these may be called from any thread. Copies between memories go through the ledger, which may refuse them.
/// Errors: OutOfMemory, DeviceError, Interrupted; the buffer is as before then.
class PLAIT_API Residency {
 public:
  /// The host copy, current and complete: waits for the device that wrote last, and copies from it, when it is stale.
  static void* on_host(Buffer& buffer, Where where) {
    return buffer.host_current() ? buffer.data() : fetch(buffer, where);
  }

  /// The copy on the queue's device, current for what is enqueued on `queue` from now on. While user code has a view of
  /// the host copy that one counts, and is copied each time.
  static void* on_queue(Buffer& buffer, Queue queue, Where where);

  /// The copy that `on_queue` gave, to be overwritten by work enqueued on `queue` next: waits for others that use it;
  /// afterwards it alone is current. For the holder of the donation.
  static void overwrite_on(Buffer& buffer, Queue queue);

  /// A buffer over memory of someone else on the queue's device, whose contents work enqueued on `queue` from now on finds
  /// there. The deleter comes after all work that uses it. Threads: any. Errors: OutOfMemory, without a call of the deleter.
  [[nodiscard]] static Ref<Buffer> adopt(Queue queue, void* data, int64_t bytes, ForeignDeleter deleter, void* context);

  /// Whether a use there would find the contents current; a device counts from 0, kHost is the host.
  static bool current_in(Buffer& buffer, int memory);

  /// The contents are complete at `mark`, where its queue wrote them, and came of work that `notes` are of.
  static void complete_at(Buffer& buffer, Mark mark, const HeldNotes& notes);
  /// Blocks until the device that wrote the contents is done. Errors: also PositionError, for as long as the contents stay, where they
  /// came of a position that lies outside.
  static void finish(Buffer& buffer);

  /// Adds notes that may still say something to `notes`, each once.
  static void add_notes_of(Buffer& buffer, HeldNotes& notes) {
    if (buffer.state_.load(std::memory_order_acquire) & Buffer::kNoted) add_notes(buffer, notes);
  }

  /// The host copy, which is current, is to be overwritten, or user code may have written to it: copies on devices are stale.
  static void host_may_have_changed(Buffer& buffer) noexcept;
  /// Only for the end of the buffer.
  static void release_copies(Buffer& buffer) noexcept;

 private:
  static void* fetch(Buffer& buffer, Where where);
  static void add_notes(Buffer& buffer, HeldNotes& notes);
};

}  // namespace plait::memory
