#include "backends/cuda/regions/disk_cache.h"

#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <vector>

namespace plait::cuda {
namespace {

namespace fs = std::filesystem;

constexpr char kMagic[8] = {'p', 'l', 'a', 'i', 't', 'c', 'u', '1'};
constexpr const char* kSuffix = ".image";

fs::path directory() {
  if (const char* set = std::getenv("PLAIT_CACHE_DIR")) return set;
  if (const char* cache = std::getenv("XDG_CACHE_HOME"); cache && *cache) return fs::path(cache) / "plait" / "cuda";
  if (const char* home = std::getenv("HOME"); home && *home) return fs::path(home) / ".cache" / "plait" / "cuda";
  return {};
}
std::string name_of(const Key128& key) {
  char name[40];
  std::snprintf(name, sizeof name, "%016llx%016llx", static_cast<unsigned long long>(key.high),
                static_cast<unsigned long long>(key.low));
  return name;
}
/// Of a whole entry.
struct Heading {
  char magic[8];
  Key128 key;
  uint64_t bytes, check;
};
uint64_t check_of(const std::string& image) { return Hasher(3).add(image).hash(); }

}  // namespace

std::optional<std::string> cached_image(const Key128& key) try {
  const fs::path where = directory();
  if (where.empty()) return std::nullopt;
  const fs::path path = where / (name_of(key) + kSuffix);
  std::ifstream file(path, std::ios::binary);
  Heading heading;
  if (!file || !file.read(reinterpret_cast<char*>(&heading), sizeof heading)) return std::nullopt;
  if (!std::equal(kMagic, kMagic + 8, heading.magic) || heading.key != key || heading.bytes > (uint64_t{1} << 30))
    return std::nullopt;
  std::string image(heading.bytes, '\0');
  if (!file.read(image.data(), static_cast<std::streamsize>(image.size())) || check_of(image) != heading.check)
    return std::nullopt;
  std::error_code ignored;
  fs::last_write_time(path, fs::file_time_type::clock::now(), ignored);  // used just now
  return image;
} catch (const std::exception&) {
  return std::nullopt;
}

void cache_image(const Key128& key, const std::string& image) try {
  const fs::path where = directory();
  if (where.empty()) return;
  fs::create_directories(where);
  static std::atomic<int> count = 0;
  const fs::path temporary =
      where / (name_of(key) + "." + std::to_string(::getpid()) + "." + std::to_string(count++) + ".partial");
  Heading heading{};
  std::copy(kMagic, kMagic + 8, heading.magic);
  heading.key = key;
  heading.bytes = image.size();
  heading.check = check_of(image);
  std::ofstream file(temporary, std::ios::binary);
  file.write(reinterpret_cast<const char*>(&heading), sizeof heading);
  file.write(image.data(), static_cast<std::streamsize>(image.size()));
  file.close();
  std::error_code error;
  if (file) fs::rename(temporary, where / (name_of(key) + kSuffix), error);  // no process ever sees a part of an entry
  if (!file || error) {
    fs::remove(temporary, error);
    return;
  }
  trim_cache(where.string(), kCacheBytes);
} catch (const std::exception&) {
  // A full or read-only disk: the next process compiles again.
}

void trim_cache(const std::string& where, int64_t most) {
  struct Entry {
    fs::file_time_type used;
    int64_t bytes;
    fs::path path;
  };
  std::vector<Entry> entries;
  int64_t sum = 0;
  std::error_code error;
  const auto now = fs::file_time_type::clock::now();
  for (const auto& item : fs::directory_iterator(where, error)) {
    const auto used = item.last_write_time(error);
    if (error) continue;
    if (item.path().extension() == ".partial" && now - used > std::chrono::hours(1)) {
      fs::remove(item.path(), error);  // of a process that was killed
      continue;
    }
    if (item.path().extension() != kSuffix) continue;
    const auto bytes = static_cast<int64_t>(item.file_size(error));
    if (error) continue;
    entries.push_back({used, bytes, item.path()});
    sum += bytes;
  }
  if (sum <= most) return;
  std::sort(entries.begin(), entries.end(), [](const Entry& a, const Entry& b) { return a.used < b.used; });
  for (const Entry& entry : entries) {
    if (sum <= most) return;
    fs::remove(entry.path, error);
    sum -= entry.bytes;
  }
}

}  // namespace plait::cuda
