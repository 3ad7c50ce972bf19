// Positions outside of an axis, which a device finds long after the work was enqueued: notes that results carry until they are
// waited for, so that each error reaches those, and only those, who ask for what came of it.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "memory/device.h"
#include "plait/error.h"
#include "plait/small_vector.h"

namespace plait::memory {

/// Of several positions any one is kept. Linear algebra notes a matrix that it cannot do in the same way.
struct PositionNote {
  const char* op = nullptr;  // of an operation, for good; null: nothing happened. Written last
  int64_t given = 0;  // of a matrix: what LAPACK says of it
  int64_t n = 0;  // extent of the axis; of a matrix: its number in the batch
  int64_t most = 0;  // the last position that is accepted
  uint32_t source = 0;
  int64_t matrices = 0;  // of the batch; 0: a position was noted
};

/// The error for such a position. `most` is n - 1 but where more than one element is looked at.
class PLAIT_API PositionError : public IndexError {
 public:
  PositionError(std::string_view op, int64_t given, int64_t n, int64_t most, std::string where = {});
  int64_t given, n, most;
};

/// A note that one run's work may write to, until the run's marks are reached; shared by the results that came of it.
class PLAIT_API HeldNote {
 public:
  /// `describe` names the line of a source. Errors: OutOfMemory, DeviceError.
  explicit HeldNote(std::string (*describe)(uint32_t source));
  ~HeldNote();
  HeldNote(const HeldNote&) = delete;
  HeldNote& operator=(const HeldNote&) = delete;

  PositionNote* note() const { return note_; }
  /// The run's end: what may write to it has been enqueued before these marks. Until then the run is not over.
  void set_marks(SmallVector<Mark, 2> marks) {
    marks_ = std::move(marks);
    marked_.store(true, std::memory_order_release);
  }
  /// Whether the run is over and found nothing.
  bool clear() const;
  /// To be called where the marks were waited for, without locks: the line is asked for. Errors: PositionError, MatrixError.
  void check() const;

 private:
  bool over() const;

  std::string (*describe_)(uint32_t source);
  PositionNote* note_;
  SmallVector<Mark, 2> marks_;
  std::atomic<bool> marked_ = false;
};

using HeldNotes = SmallVector<std::shared_ptr<const HeldNote>, 1>;

}  // namespace plait::memory
