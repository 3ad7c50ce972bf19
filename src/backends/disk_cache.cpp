#include "backends/disk_cache.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <memory>
#include <vector>

namespace plait {
namespace {

namespace fs = std::filesystem;

constexpr char kMagic[8] = {'p', 'l', 'a', 'i', 't', 'c', 'u', '1'};
constexpr const char* kSuffix = ".image";

fs::path directory(std::string_view kind) {
  if (const char* set = std::getenv("PLAIT_CACHE_DIR")) return set;
  if (const char* cache = std::getenv("XDG_CACHE_HOME"); cache && *cache) return fs::path(cache) / "plait" / kind;
  if (const char* home = std::getenv("HOME"); home && *home) return fs::path(home) / ".cache" / "plait" / kind;
  return {};
}
using File = std::unique_ptr<std::FILE, int (*)(std::FILE*)>;
/// A file that nobody but this user, or root, can have written; null for any other.
File opened_own(const fs::path& path) {
  // Without a wait: what lies there may be no file, as a pipe that nobody writes to.
  const int descriptor = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  File file(descriptor < 0 ? nullptr : ::fdopen(descriptor, "rb"), std::fclose);
  if (descriptor >= 0 && !file) ::close(descriptor);
  struct stat status{};
  const bool own = file && ::fstat(::fileno(file.get()), &status) == 0 && S_ISREG(status.st_mode) &&
                   (status.st_uid == ::geteuid() || status.st_uid == 0) && (status.st_mode & (S_IWGRP | S_IWOTH)) == 0;
  if (!own) file.reset();
  return file;
}
/// A new file that is this user's alone, whatever the umask allows.
File made_own(const fs::path& path) {
  const int descriptor = ::open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, S_IRUSR | S_IWUSR);
  File file(descriptor < 0 ? nullptr : ::fdopen(descriptor, "wb"), std::fclose);
  if (descriptor >= 0 && !file) ::close(descriptor);
  return file;
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

std::optional<std::string> cached_image(std::string_view kind, const Key128& key) try {
  const fs::path where = directory(kind);
  if (where.empty()) return std::nullopt;
  const fs::path path = where / (name_of(key) + kSuffix);
  const File file = opened_own(path);
  Heading heading;
  if (!file || std::fread(&heading, sizeof heading, 1, file.get()) != 1) return std::nullopt;
  if (!std::equal(kMagic, kMagic + 8, heading.magic) || heading.key != key || heading.bytes > (uint64_t{1} << 30))
    return std::nullopt;
  std::string image(heading.bytes, '\0');
  if (std::fread(image.data(), 1, image.size(), file.get()) != image.size() || check_of(image) != heading.check)
    return std::nullopt;
  std::error_code ignored;
  fs::last_write_time(path, fs::file_time_type::clock::now(), ignored);  // used just now
  return image;
} catch (const std::exception&) {
  return std::nullopt;
}

void cache_image(std::string_view kind, const Key128& key, const std::string& image) try {
  const fs::path where = directory(kind);
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
  File file = made_own(temporary);
  bool whole = file && std::fwrite(&heading, sizeof heading, 1, file.get()) == 1 &&
               std::fwrite(image.data(), 1, image.size(), file.get()) == image.size();
  whole = file && std::fclose(file.release()) == 0 && whole;
  std::error_code error;
  if (whole) fs::rename(temporary, where / (name_of(key) + kSuffix), error);  // no process ever sees a part of an entry
  if (!whole || error) {
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

}  // namespace plait
