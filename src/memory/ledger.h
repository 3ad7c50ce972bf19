// The record of transfers between memories.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "plait/export.h"

namespace plait::ledger {

/// One copy between two memories; a device counts from 0, kHost (-1) is the host.
struct Transfer {
  int from;
  int to;
  int64_t bytes;
  int64_t duration_ns;
  std::string where;  // the user's line that caused it, or empty
};

struct Totals {
  int64_t transfers = 0;
  int64_t bytes = 0;
  int64_t duration_ns = 0;
  bool operator==(const Totals&) const = default;
};

// All of these may be called from any thread.

/// What happens to a transfer before it is made: nothing, a line on stderr, or an error.
enum class Guard : uint8_t { allow, log, error };

/// Of the whole process; returns the one before.
PLAIT_API Guard set_guard(Guard guard) noexcept;
PLAIT_API Guard guard() noexcept;
/// Errors: DeviceError with bytes, memories and line where the guard forbids it.
void admit(int from, int to, int64_t bytes, const std::string& where);
void record(Transfer transfer);

PLAIT_API Totals totals();
/// By (from, to).
PLAIT_API std::map<std::pair<int, int>, Totals> totals_by_direction();
/// The last transfers, oldest first; totals count those that were dropped from the record too.
PLAIT_API std::vector<Transfer> last_transfers();
/// A table for people: the lines that moved most bytes first.
PLAIT_API std::string report();
PLAIT_API void clear();

}  // namespace plait::ledger
