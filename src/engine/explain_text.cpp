// The table of an explanation.
#include <algorithm>
#include <cstdio>

#include "memory/allocator.h"
#include "plait/debug.h"

namespace plait::debug {
namespace {

using Row = std::vector<std::string>;

std::string bytes_text(int64_t bytes) { return bytes == 0 ? "" : memory::in_words(bytes); }

std::string operations_text(const PlannedStep& step) {
  constexpr size_t kNamed = 6;
  std::string text;
  for (size_t i = 0; i < step.operations.size() && i < kNamed; ++i) text += (i ? "+" : "") + step.operations[i];
  if (step.operations.size() > kNamed) text += "+" + std::to_string(step.operations.size() - kNamed) + " more";
  return text;
}

std::string result_text(const PlannedStep& step) {
  std::string text = std::string(name_of(step.dtype)) + to_string(step.shape);
  if (step.results > 1) text += " and " + std::to_string(step.results - 1) + " more";
  return text;
}

std::string device_text(const PlannedStep& step) {
  return step.stream == 0 ? step.device : step.device + " stream " + std::to_string(step.stream);
}

std::string lines_text(const PlannedStep& step) {
  if (step.lines.empty()) return "";
  return step.lines.front() + (step.lines.size() > 1 ? " (+" + std::to_string(step.lines.size() - 1) + ")" : "");
}

std::string time_text(int64_t ns) {
  char text[32];
  std::snprintf(text, sizeof text, "%.1f us", static_cast<double>(ns) * 1e-3);
  return ns < 0 ? "" : text;
}

std::string rate_text(const PlannedStep& step) {
  const int64_t bytes = step.bytes_read + step.bytes_written;
  if (step.duration_ns <= 0 || bytes == 0) return "";
  char text[32];
  std::snprintf(text, sizeof text, "%.1f", static_cast<double>(bytes) / static_cast<double>(step.duration_ns));
  return text;
}

// Columns as wide as their widest entry; those without any are left out.
std::string laid_out(const std::vector<Row>& rows, size_t right_from, size_t right_to) {
  std::vector<size_t> widths(rows.front().size());
  std::vector<bool> used(widths.size());
  for (size_t r = 0; r < rows.size(); ++r)
    for (size_t c = 0; c < widths.size(); ++c) {
      widths[c] = std::max(widths[c], rows[r][c].size());
      if (r > 0 && !rows[r][c].empty()) used[c] = true;
    }
  std::string text;
  for (const Row& row : rows) {
    std::string line;
    for (size_t c = 0; c < widths.size(); ++c) {
      if (!used[c]) continue;
      const std::string space(widths[c] - row[c].size(), ' ');
      const bool right = c == 0 || (c >= right_from && c < right_to);
      line += (line.empty() ? "" : "  ") + (right ? space + row[c] : row[c] + space);
    }
    line.erase(line.find_last_not_of(' ') + 1);
    text += line + "\n";
  }
  return text;
}

std::string counted(size_t n, const char* what) { return std::to_string(n) + " " + what + (n == 1 ? "" : "s"); }

std::string totals(const Explanation& e) {
  int64_t read = 0, written = 0, allocated = 0, moved = 0, ns = 0;
  size_t transfers = 0;
  for (const PlannedStep& step : e.steps) {
    read += step.bytes_read;
    written += step.bytes_written;
    allocated += step.bytes_allocated;
    ns += std::max<int64_t>(step.duration_ns, 0);
    for (const auto& t : step.transfers) moved += t.bytes;
    transfers += step.transfers.size();
  }
  std::string text = counted(static_cast<size_t>(e.operations), "operation") + " in " + counted(e.steps.size(), "step");
  if (e.analyzed) text += ", " + time_text(ns);
  text += "; reads " + memory::in_words(read) + ", writes " + memory::in_words(written) + "\n";
  text += "memory: allocates " + memory::in_words(allocated) + ", at most " + memory::in_words(e.peak_bytes) +
          " at once, " + memory::in_words(e.result_bytes) + " held afterwards\n";
  if (transfers > 0) text += counted(transfers, "transfer") + " between memories, " + memory::in_words(moved) + "\n";
  return text;
}

}  // namespace

std::string to_string(const Explanation& e) {
  std::string text;
  if (!e.steps.empty()) {
    std::vector<Row> rows{{"", "kind", "operations", "result", "on", "how", "reads", "writes", "allocates", "held",
                           "time", "GB/s", "from"}};
    for (size_t i = 0; i < e.steps.size(); ++i) {
      const PlannedStep& s = e.steps[i];
      rows.push_back({std::to_string(i + 1), s.kind, operations_text(s), result_text(s), device_text(s), s.how,
                      bytes_text(s.bytes_read), bytes_text(s.bytes_written), bytes_text(s.bytes_allocated),
                      bytes_text(s.bytes_held), time_text(s.duration_ns), rate_text(s), lines_text(s)});
    }
    text += laid_out(rows, 6, 12);
    for (size_t i = 0; i < e.steps.size(); ++i) {
      for (const std::string& note : e.steps[i].notes) text += std::to_string(i + 1) + ": " + note + "\n";
      for (const auto& t : e.steps[i].transfers)
        text +=
            std::to_string(i + 1) + ": moves " + memory::in_words(t.bytes) + " from " + t.from + " to " + t.to + "\n";
    }
    text += "\n" + totals(e);
  }
  if (!e.plan.empty()) text += "plan: " + e.plan + "\n";
  return text;
}

}  // namespace plait::debug
