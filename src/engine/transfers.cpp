#include "plait/transfers.h"

#include "engine/devices.h"
#include "memory/ledger.h"

namespace plait {
namespace {

std::string name_of_memory(int memory) { return memory < 0 ? "cpu" : "gpu:" + std::to_string(memory); }

}  // namespace

std::map<std::pair<std::string, std::string>, TransferTotals> transfer_totals() {
  std::map<std::pair<std::string, std::string>, TransferTotals> totals;
  for (const auto& [direction, sum] : ledger::totals_by_direction())
    totals[{name_of_memory(direction.first), name_of_memory(direction.second)}] = {sum.transfers, sum.bytes,
                                                                                   sum.duration_ns};
  return totals;
}

std::string transfer_report() { return ledger::report(); }
void clear_transfers() { ledger::clear(); }

Policy set_transfer_guard(Policy policy) {
  return static_cast<Policy>(ledger::set_guard(static_cast<ledger::Guard>(policy)));
}

Policy set_fallback(Policy policy) {
  using engine::Fallback;
  const Fallback wanted = policy == Policy::allow ? Fallback::silent
                          : policy == Policy::log ? Fallback::say
                                                  : Fallback::error;
  switch (engine::set_fallback(wanted)) {
    case Fallback::silent: return Policy::allow;
    case Fallback::say: return Policy::log;
    case Fallback::error: break;
  }
  return Policy::error;
}

}  // namespace plait
