// What moved between memories, for plait.transfers.
#include <nanobind/stl/string.h>

#include <array>
#include <string>

#include "bind.h"
#include "engine/devices.h"
#include "memory/ledger.h"

namespace plait::python {
namespace {

constexpr std::array<const char*, 3> kGuards = {"allow", "log", "error"};
constexpr std::array<const char*, 3> kFallbacks = {"log", "allow", "error"};

/// Where `name` stands among `names`.
int position(const std::array<const char*, 3>& names, const std::string& name, const char* op) {
  for (size_t i = 0; i < names.size(); ++i)
    if (name == names[i]) return static_cast<int>(i);
  throw ArgumentError({.op = op, .got = "'" + name + "'", .accepts = "'allow', 'log' or 'error'"});
}

/// (from, to) -> (transfers, bytes, seconds); "cpu" or "gpu:0".
nb::dict transfer_totals() {
  const auto name = [](int memory) { return memory < 0 ? std::string("cpu") : "gpu:" + std::to_string(memory); };
  nb::dict totals;
  for (const auto& [direction, sum] : ledger::totals_by_direction())
    totals[nb::make_tuple(name(direction.first), name(direction.second))] =
        nb::make_tuple(sum.transfers, sum.bytes, static_cast<double>(sum.duration_ns) * 1e-9);
  return totals;
}

}  // namespace

void bind_transfers(nb::module_& m) {
  m.def(
      "transfer_totals", transfer_totals,
      nb::sig("def transfer_totals() -> dict[tuple[str, str], tuple[int, int, float]]"),
      "What was copied between memories since the start or `clear_transfers`: (from, to) -> (transfers, bytes, seconds).\n"
      "plait.transfers is nicer.");
  m.def("transfer_report", ledger::report, nb::sig("def transfer_report() -> str"),
        "The same by the line of the program that caused it, as a table.");
  m.def("clear_transfers", ledger::clear, nb::sig("def clear_transfers() -> None"), "Forgets what was counted.");
  m.def(
      "set_transfer_guard",
      [](const std::string& policy) {
        const auto guard = static_cast<ledger::Guard>(position(kGuards, policy, "set_transfer_guard"));
        return kGuards[static_cast<size_t>(ledger::set_guard(guard))];
      },
      nb::arg("policy"), nb::sig("def set_transfer_guard(policy: str) -> str"),
      "What happens at a transfer between memories, in the whole process: 'allow', 'log' (a line on stderr) or 'error'\n"
      "(DeviceError with the line that caused it). Returns the policy before.\n\nErrors: ValueError for another policy.");
  m.def(
      "set_fallback",
      [](const std::string& policy) {
        const auto fallback = static_cast<engine::Fallback>(position(kFallbacks, policy, "set_fallback"));
        return kFallbacks[static_cast<size_t>(engine::set_fallback(fallback))];
      },
      nb::arg("policy"), nb::sig("def set_fallback(policy: str) -> str"),
      "What happens when an operation has no kernel on the device it was put on: 'log' (it runs on the CPU; said once for\n"
      "each operation), 'allow' (silently) or 'error'. Returns the policy before.\n\nErrors: ValueError for another policy.");
}

}  // namespace plait::python
