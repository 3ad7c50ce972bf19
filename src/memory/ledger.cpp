#include "memory/ledger.h"

#include <algorithm>
#include <atomic>
#include <cstdio>
#include <deque>
#include <mutex>
#include <tuple>

#include "plait/error.h"

namespace plait::ledger {
namespace {

constexpr size_t kKept = 10'000;

using Line = std::tuple<int, int, std::string>;  // from, to, where

struct Ledger {
  std::mutex mutex;
  std::deque<Transfer> last;
  std::map<Line, Totals> lines;
};
Ledger& ledger() {
  static auto* instance = new Ledger;  // transfers may end after static destructors ran
  return *instance;
}

void add(Totals& totals, const Totals& more) {
  totals.transfers += more.transfers;
  totals.bytes += more.bytes;
  totals.duration_ns += more.duration_ns;
}

constinit std::atomic<Guard> the_guard{Guard::allow};

std::string name_of(int memory) { return memory < 0 ? "host" : "device " + std::to_string(memory); }

}  // namespace

Guard set_guard(Guard guard) noexcept { return the_guard.exchange(guard); }
Guard guard() noexcept { return the_guard.load(std::memory_order_relaxed); }

void admit(int from, int to, int64_t bytes, const std::string& where) {
  const Guard now = guard();
  if (now == Guard::allow) [[likely]]
    return;
  const std::string what = std::to_string(bytes) + " bytes from " + name_of(from) + " to " + name_of(to);
  if (now == Guard::error)
    throw DeviceError({.op = "transfer",
                       .got = what + " where transfers are forbidden",
                       .accepts = "values that are in the memory of the device that uses them",
                       .hint = "let the operation run where its operands are (stream=...), or allow the transfer: "
                               "with transfers.guard('allow')",
                       .where = where});
  std::fprintf(stderr, "plait: %s%s%s\n", what.c_str(), where.empty() ? "" : " at ", where.c_str());
}

void record(Transfer transfer) {
  Ledger& all = ledger();
  const std::lock_guard lock(all.mutex);
  add(all.lines[{transfer.from, transfer.to, transfer.where}], {1, transfer.bytes, transfer.duration_ns});
  all.last.push_back(std::move(transfer));
  if (all.last.size() > kKept) all.last.pop_front();
}

Totals totals() {
  Totals sum;
  for (const auto& [direction, part] : totals_by_direction()) add(sum, part);
  return sum;
}

std::map<std::pair<int, int>, Totals> totals_by_direction() {
  Ledger& all = ledger();
  const std::lock_guard lock(all.mutex);
  std::map<std::pair<int, int>, Totals> directions;
  for (const auto& [line, part] : all.lines) add(directions[{std::get<0>(line), std::get<1>(line)}], part);
  return directions;
}

std::vector<Transfer> last_transfers() {
  Ledger& all = ledger();
  const std::lock_guard lock(all.mutex);
  return {all.last.begin(), all.last.end()};
}

std::string report() {
  std::vector<std::pair<Line, Totals>> lines;
  {
    Ledger& all = ledger();
    const std::lock_guard lock(all.mutex);
    lines.assign(all.lines.begin(), all.lines.end());
  }
  if (lines.empty()) return "no transfers between memories\n";
  std::stable_sort(lines.begin(), lines.end(),
                   [](const auto& a, const auto& b) { return a.second.bytes > b.second.bytes; });
  std::string text = "   transfers           bytes        ms   GB/s  direction, line\n";
  for (const auto& [line, part] : lines) {
    const auto& [from, to, where] = line;
    char numbers[96];
    std::snprintf(numbers, sizeof numbers, "%12lld %15lld %9.3f %6.2f  ", static_cast<long long>(part.transfers),
                  static_cast<long long>(part.bytes), static_cast<double>(part.duration_ns) * 1e-6,
                  part.duration_ns > 0 ? static_cast<double>(part.bytes) / static_cast<double>(part.duration_ns) : 0.0);
    text += numbers + name_of(from) + " to " + name_of(to) + (where.empty() ? "" : ", " + where) + "\n";
  }
  return text;
}

void clear() {
  Ledger& all = ledger();
  const std::lock_guard lock(all.mutex);
  all.last.clear();
  all.lines.clear();
}

}  // namespace plait::ledger
