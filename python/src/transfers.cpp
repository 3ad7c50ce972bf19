// What moved between memories, for plait.transfers.
#include "plait/transfers.h"

#include <array>
#include <string>

#include "bind.h"

namespace plait::python {
namespace {

constexpr std::array<const char*, 3> kPolicies = {"allow", "log", "error"};

const char* set_policy(Policy (*set)(Policy), const std::string& name, const char* op) {
  for (size_t i = 0; i < kPolicies.size(); ++i)
    if (name == kPolicies[i]) return kPolicies[static_cast<size_t>(set(static_cast<Policy>(i)))];
  throw ArgumentError({.op = op, .got = "'" + name + "'", .accepts = "'allow', 'log' or 'error'"});
}

/// (from, to) -> (transfers, bytes, seconds); "cpu" or "gpu:0".
nb::dict totals_by_direction() {
  nb::dict totals;
  for (const auto& [direction, sum] : transfer_totals())
    totals[nb::make_tuple(direction.first, direction.second)] =
        nb::make_tuple(sum.transfers, sum.bytes, static_cast<double>(sum.duration_ns) * 1e-9);
  return totals;
}

}  // namespace

void bind_transfers(nb::module_& m) {
  m.def(
      "transfer_totals", totals_by_direction,
      nb::sig("def transfer_totals() -> dict[tuple[str, str], tuple[int, int, float]]"),
      "What was copied between memories since the start or `clear_transfers`: (from, to) -> (transfers, bytes, seconds).\n"
      "plait.transfers is nicer.");
  m.def("transfer_report", transfer_report, nb::sig("def transfer_report() -> str"),
        "The same by the line of the program that caused it, as a table.");
  m.def("clear_transfers", clear_transfers, nb::sig("def clear_transfers() -> None"), "Forgets what was counted.");
  m.def(
      "set_transfer_guard",
      [](const std::string& policy) { return set_policy(set_transfer_guard, policy, "set_transfer_guard"); },
      nb::arg("policy"), nb::sig("def set_transfer_guard(policy: str) -> str"),
      "What happens at a transfer between memories, in the whole process: 'allow', 'log' (a line on stderr) or 'error'\n"
      "(DeviceError with the line that caused it). Returns the policy before.\n\nErrors: ValueError for another policy.");
  m.def(
      "set_fallback", [](const std::string& policy) { return set_policy(set_fallback, policy, "set_fallback"); },
      nb::arg("policy"), nb::sig("def set_fallback(policy: str) -> str"),
      "What happens when an operation has no kernel on the device it was put on: 'log' (it runs on the CPU; said once for\n"
      "each operation), 'allow' (silently) or 'error'. Returns the policy before.\n\nErrors: ValueError for another policy.");
}

}  // namespace plait::python
