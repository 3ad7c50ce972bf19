#include "base/platform.h"

#include <fcntl.h>
#include <sched.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstring>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace plait::platform {
namespace {

// Files of /proc and /sys are read whole with plain system calls: they have no size, and may vanish at any time.
std::optional<std::string> read_file(const std::string& path) {
  const int file = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (file < 0) return std::nullopt;
  std::string text;
  char chunk[4096];
  ssize_t got;
  while ((got = ::read(file, chunk, sizeof chunk)) > 0) text.append(chunk, static_cast<size_t>(got));
  ::close(file);
  if (got < 0) return std::nullopt;
  return text;
}

std::vector<std::string_view> split(std::string_view text, char separator) {
  std::vector<std::string_view> parts;
  while (!text.empty()) {
    const size_t at = text.find(separator);
    parts.push_back(text.substr(0, at));
    if (at == std::string_view::npos) break;
    text.remove_prefix(at + 1);
  }
  return parts;
}

std::optional<int64_t> parse_integer(std::string_view text) {
  while (!text.empty() && (text.front() == ' ' || text.front() == '\t')) text.remove_prefix(1);
  int64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (end == text.data() || error == std::errc::invalid_argument) return std::nullopt;
  return error == std::errc::result_out_of_range ? kUnlimited : value;
}

std::optional<int64_t> read_integer(const std::string& path) {
  const auto text = read_file(path);
  return text ? parse_integer(*text) : std::nullopt;
}

// The number behind `key` at the start of a line, as in /proc/meminfo ("MemFree:  12 kB") and memory.stat ("file 12").
int64_t field(std::string_view text, std::string_view key) {
  for (const std::string_view line : split(text, '\n')) {
    if (line.starts_with(key)) return parse_integer(line.substr(key.size())).value_or(0);
  }
  return 0;
}

// One controller of this process: the directories from its own cgroup up to the top of the mount.
struct Controller {
  bool v2 = false;
  std::vector<std::string> directories;
};

bool contains(std::string_view list, std::string_view word) {
  const auto words = split(list, ',');
  return std::find(words.begin(), words.end(), word) != words.end();
}

// The path of this process in the hierarchy that serves `controller` (v1) or in the unified one (v2).
std::optional<std::string> cgroup_path(const std::string& root, std::string_view controller, bool v2) {
  const auto text = read_file(root + "/proc/self/cgroup");
  if (!text) return std::nullopt;
  for (const std::string_view line : split(*text, '\n')) {
    const size_t first = line.find(':');
    const size_t second = first == std::string_view::npos ? first : line.find(':', first + 1);
    if (second == std::string_view::npos) continue;
    const std::string_view controllers = line.substr(first + 1, second - first - 1);
    if (v2 ? controllers.empty() : contains(controllers, controller)) return std::string(line.substr(second + 1));
  }
  return std::nullopt;
}

// In a container the mount may show only a part of the hierarchy (its "root"), and the path may lie outside of it.
std::optional<Controller> find_controller(const std::string& root, std::string_view name, const char* v2_file) {
  const auto mounts = read_file(root + "/proc/self/mountinfo");
  if (!mounts) return std::nullopt;
  std::optional<Controller> unified;
  for (const std::string_view line : split(*mounts, '\n')) {
    const size_t dash = line.find(" - ");
    if (dash == std::string_view::npos) continue;
    const auto before = split(line.substr(0, dash), ' ');
    const auto after = split(line.substr(dash + 3), ' ');
    if (before.size() < 5 || after.size() < 3) continue;
    const bool v2 = after[0] == "cgroup2";
    if (!v2 && !(after[0] == "cgroup" && contains(after[2], name))) continue;
    const auto path = cgroup_path(root, name, v2);
    if (!path) continue;

    std::string_view relative = *path;
    if (before[3] != "/" && relative.starts_with(before[3])) relative.remove_prefix(before[3].size());
    const std::string top = root + std::string(before[4]);
    Controller found{.v2 = v2, .directories = {}};
    std::string directory = top + (relative == "/" ? "" : std::string(relative));
    while (directory.size() >= top.size()) {
      if (::access(directory.c_str(), R_OK) == 0) found.directories.push_back(directory);
      if (directory.size() == top.size()) break;
      directory.resize(directory.rfind('/'));
    }
    if (found.directories.empty()) found.directories.push_back(top);
    if (!v2) return found;
    // The unified hierarchy may be mounted without this controller, beside v1 mounts that have it.
    if (std::any_of(found.directories.begin(), found.directories.end(),
                    [&](const auto& d) { return ::access((d + v2_file).c_str(), R_OK) == 0; })) {
      unified = found;
    }
  }
  return unified;
}

struct MemoryState {
  int64_t limit = kUnlimited;
  int64_t headroom = kUnlimited;
};

MemoryState cgroup_memory(const std::optional<Controller>& memory, bool with_headroom) {
  MemoryState state;
  if (!memory) return state;
  for (const std::string& directory : memory->directories) {
    const int64_t limit =
        read_integer(directory + (memory->v2 ? "/memory.max" : "/memory.limit_in_bytes")).value_or(kUnlimited);
    if (limit < 0 || limit >= int64_t{1} << 60) continue;  // v1 writes "no limit" as the largest multiple of a page
    state.limit = std::min(state.limit, limit);
    if (!with_headroom) continue;
    const auto used = read_integer(directory + (memory->v2 ? "/memory.current" : "/memory.usage_in_bytes"));
    if (!used) continue;
    const std::string stat = read_file(directory + "/memory.stat").value_or("");
    const int64_t droppable = memory->v2 ? field(stat, "active_file ") + field(stat, "inactive_file ")
                                         : field(stat, "total_active_file ") + field(stat, "total_inactive_file ");
    state.headroom = std::min(state.headroom, std::max<int64_t>(0, limit - *used + std::min(droppable, *used)));
  }
  return state;
}

std::optional<Controller> memory_controller(const std::string& root) {
  return find_controller(root, "memory", "/memory.max");
}

// Where the files are does not change while the process runs.
const std::optional<Controller>& own_memory_controller() {
  static const auto* controller = new std::optional<Controller>(memory_controller(""));
  return *controller;
}

}  // namespace

namespace detail {

double cgroup_cpu_quota_at(const char* root) {
  double quota = INFINITY;
  const auto cpu = find_controller(root, "cpu", "/cpu.max");
  if (!cpu) return quota;
  for (const std::string& directory : cpu->directories) {
    std::optional<int64_t> allowed, period;
    if (cpu->v2) {
      const std::string text = read_file(directory + "/cpu.max").value_or("max");  // "max 100000" or "200000 100000"
      const auto parts = split(text, ' ');
      if (parts.size() == 2) allowed = parse_integer(parts[0]), period = parse_integer(parts[1]);
    } else {
      allowed = read_integer(directory + "/cpu.cfs_quota_us");  // -1 without a quota
      period = read_integer(directory + "/cpu.cfs_period_us");
    }
    if (allowed && period && *allowed > 0 && *period > 0) {
      quota = std::min(quota, static_cast<double>(*allowed) / static_cast<double>(*period));
    }
  }
  return quota;
}

int64_t cgroup_memory_limit_at(const char* root) { return cgroup_memory(memory_controller(root), false).limit; }
int64_t cgroup_memory_headroom_at(const char* root) { return cgroup_memory(memory_controller(root), true).headroom; }

}  // namespace detail

int affinity_cpus() {
  for (int cpus = 1024; cpus <= 1 << 20; cpus *= 4) {  // the kernel refuses a mask shorter than its own
    cpu_set_t* mask = CPU_ALLOC(static_cast<size_t>(cpus));
    if (!mask) break;
    const size_t size = CPU_ALLOC_SIZE(static_cast<size_t>(cpus));
    const bool ok = ::sched_getaffinity(0, size, mask) == 0;
    const int count = ok ? CPU_COUNT_S(size, mask) : 0;
    CPU_FREE(mask);
    if (ok) return std::max(count, 1);
  }
  return std::max(1, static_cast<int>(::sysconf(_SC_NPROCESSORS_ONLN)));
}

double cgroup_cpu_quota() { return detail::cgroup_cpu_quota_at(""); }

int usable_cpus() {
  const int cpus = affinity_cpus();
  const double quota = std::ceil(cgroup_cpu_quota());
  return quota < cpus ? std::max(1, static_cast<int>(quota)) : cpus;
}

int64_t page_bytes() {
  static const int64_t bytes = ::sysconf(_SC_PAGESIZE);
  return bytes;
}

bool huge_pages_available() {
  const auto text = read_file("/sys/kernel/mm/transparent_hugepage/enabled");
  return text && (text->find("[always]") != std::string::npos || text->find("[madvise]") != std::string::npos);
}

int64_t total_memory() {
  static const int64_t bytes = ::sysconf(_SC_PHYS_PAGES) * page_bytes();
  return bytes;
}

int64_t free_memory() {
  const auto text = read_file("/proc/meminfo");
  if (!text || text->find("MemAvailable:") == std::string::npos) return kUnlimited;
  return field(*text, "MemAvailable:") * 1024;
}

int64_t cgroup_memory_limit() { return cgroup_memory(own_memory_controller(), false).limit; }
int64_t cgroup_memory_headroom() { return cgroup_memory(own_memory_controller(), true).headroom; }

int64_t resident_anonymous_memory() {
  const auto text = read_file("/proc/self/statm");  // pages: size, resident, shared (file-backed), ...
  if (!text) return 0;
  const auto parts = split(*text, ' ');
  if (parts.size() < 3) return 0;
  return (parse_integer(parts[1]).value_or(0) - parse_integer(parts[2]).value_or(0)) * page_bytes();
}

}  // namespace plait::platform
