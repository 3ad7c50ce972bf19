#include "memory/position_note.h"

#include <deque>
#include <mutex>
#include <utility>

#include "base/matrix_error.h"

namespace plait::memory {
namespace {

bool reached(const SmallVector<Mark, 2>& marks) {
  DeviceMemory& devices = *device_memory();
  for (const Mark& mark : marks)
    if (!devices.reached(mark)) return false;
  return true;
}

/// Notes that nobody holds, with what may still write to them. Leaked: results may outlive all else.
class Pool {
 public:
  static Pool& instance() {
    static auto* const pool = new Pool;
    return *pool;
  }
  PositionNote* take() {
    const std::lock_guard lock(mutex_);
    if (free_.empty() || !reached(free_.front().marks)) {
      constexpr int kAtOnce = 64;
      void* const more = device_memory()->allocate_shared(kAtOnce * static_cast<int64_t>(sizeof(PositionNote)));
      for (int i = 0; i < kAtOnce; ++i) free_.push_front({static_cast<PositionNote*>(more) + i, {}});
    }
    PositionNote* const note = free_.front().note;
    free_.pop_front();
    *note = PositionNote();
    return note;
  }
  void give_back(PositionNote* note, SmallVector<Mark, 2> marks) noexcept {
    try {
      const std::lock_guard lock(mutex_);
      free_.push_back({note, std::move(marks)});
    } catch (...) {
      // It is lost, which harms nobody.
    }
  }

 private:
  struct Free {
    PositionNote* note;
    SmallVector<Mark, 2> marks;
  };
  std::mutex mutex_;
  std::deque<Free> free_;  // those given back last are last
};

}  // namespace

PositionError::PositionError(std::string_view op, int64_t given, int64_t n, int64_t most, std::string where)
    : IndexError(
          {.op = std::string(op),
           .got = "position " + std::to_string(given) + " in an axis of extent " + std::to_string(n),
           .accepts = n == 0 ? "no position: the axis is empty" : std::to_string(-n) + " to " + std::to_string(most),
           .where = std::move(where)}),
      given(given),
      n(n),
      most(most) {}

HeldNote::HeldNote(std::string (*describe)(uint32_t source)) : describe_(describe), note_(Pool::instance().take()) {}
HeldNote::~HeldNote() {
  if (marked_)
    Pool::instance().give_back(note_, std::move(marks_));  // else work that nobody waits for may write to it some day
}

bool HeldNote::over() const { return marked_.load(std::memory_order_acquire) && reached(marks_); }
bool HeldNote::clear() const { return over() && static_cast<volatile PositionNote*>(note_)->op == nullptr; }

void HeldNote::check() const {
  const volatile PositionNote& seen = *note_;
  const char* const op = seen.op;
  if (!op) return;
  if (seen.matrices > 0) throw MatrixError(op, seen.given, seen.n, seen.matrices, {}, describe_(seen.source));
  throw PositionError(op, seen.given, seen.n, seen.most, describe_(seen.source));
}

}  // namespace plait::memory
