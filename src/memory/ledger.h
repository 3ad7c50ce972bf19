// The record of transfers between memories.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

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

void record(Transfer transfer);

Totals totals();
/// By (from, to).
std::map<std::pair<int, int>, Totals> totals_by_direction();
/// The last transfers, oldest first; totals count those that were dropped from the record too.
std::vector<Transfer> last_transfers();
/// A table for people: the lines that moved most bytes first.
std::string report();
void clear();

}  // namespace plait::ledger
