#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <utility>

#include "plait/export.h"

/// What moved between memories (docs/devices.md). Any thread may call any of these.
namespace plait {

struct TransferTotals {
  int64_t transfers = 0;
  int64_t bytes = 0;
  int64_t duration_ns = 0;
};
/// Since the start or `clear_transfers`, by (from, to): "cpu", "gpu:0".
PLAIT_API std::map<std::pair<std::string, std::string>, TransferTotals> transfer_totals();
/// The same by the line of the program that caused it, as a table.
PLAIT_API std::string transfer_report();
PLAIT_API void clear_transfers();

/// Nothing, a line on stderr, or a DeviceError with the line that caused it.
enum class Policy : uint8_t { allow, log, error };

/// What happens at a transfer, in the whole process; returns the policy before. At first nothing.
PLAIT_API Policy set_transfer_guard(Policy policy);
/// What happens when an operation has no kernel on the device it was put on, before it runs on the CPU; returns the policy
/// before. At first a line, once for each operation.
PLAIT_API Policy set_fallback(Policy policy);

}  // namespace plait
