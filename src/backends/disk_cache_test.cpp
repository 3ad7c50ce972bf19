#include "backends/disk_cache.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "backends/disk_cache_case.h"

namespace plait {
namespace {

using DiskCache = CacheCase;

TEST_F(DiskCache, GivesBackWhatWasPutIn) {
  EXPECT_FALSE(cached_image("cuda", {1, 2}));
  cache_image("cuda", {1, 2}, "machine code");
  EXPECT_EQ(cached_image("cuda", {1, 2}), "machine code");
  EXPECT_FALSE(cached_image("cuda", {2, 1}));
  EXPECT_EQ(files().size(), 1u);
}

TEST_F(DiskCache, IgnoresWhatIsDamaged) {
  cache_image("cuda", {1, 2}, "machine code");
  const auto path = files().front();
  const auto size = std::filesystem::file_size(path);
  {
    std::fstream file(path, std::ios::in | std::ios::out | std::ios::binary);
    file.seekp(static_cast<std::streamoff>(size) - 3);
    file.put('?');
  }
  EXPECT_FALSE(cached_image("cuda", {1, 2}));
  std::filesystem::resize_file(path, size - 5);
  EXPECT_FALSE(cached_image("cuda", {1, 2}));
  std::filesystem::resize_file(path, 4);
  EXPECT_FALSE(cached_image("cuda", {1, 2}));
  cache_image("cuda", {1, 2}, "machine code");
  EXPECT_EQ(cached_image("cuda", {1, 2}), "machine code");
}

TEST_F(DiskCache, WaitsForNoPipe) {
  cache_image("cuda", {1, 2}, "machine code");
  const auto path = files().front();
  std::filesystem::remove(path);
  ASSERT_EQ(::mkfifo(path.c_str(), 0600), 0);
  EXPECT_FALSE(cached_image("cuda", {1, 2}));
}

TEST_F(DiskCache, TrimsWhatWasUsedLongestAgo) {
  for (uint64_t k = 0; k < 4; ++k) {
    cache_image("cuda", {k, k}, std::string(1000, 'x'));
    for (const auto& path : files())
      if (path.filename().string().find(std::to_string(k) + ".image") != std::string::npos)
        std::filesystem::last_write_time(path,
                                         std::filesystem::file_time_type::clock::now() - std::chrono::hours(10 - k));
  }
  EXPECT_TRUE(cached_image("cuda", {0, 0}));  // used now
  trim_cache(directory_.string(), 2500);
  EXPECT_TRUE(cached_image("cuda", {0, 0}));
  EXPECT_FALSE(cached_image("cuda", {1, 1}));
  EXPECT_FALSE(cached_image("cuda", {2, 2}));
  EXPECT_TRUE(cached_image("cuda", {3, 3}));
}

TEST_F(DiskCache, AnUnusableDirectoryIsAnEmptyCache) {
  ::setenv("PLAIT_CACHE_DIR", "/proc/nowhere", 1);
  cache_image("cuda", {1, 2}, "machine code");
  EXPECT_FALSE(cached_image("cuda", {1, 2}));
}

TEST_F(DiskCache, PassesOverWhatOthersCouldHaveWritten) {
  cache_image("cpu", {1, 2}, "machine code");
  const auto path = files().front();
  const auto mine = std::filesystem::perms::owner_read | std::filesystem::perms::owner_write;
  EXPECT_EQ(std::filesystem::status(path).permissions(), mine);
  std::filesystem::permissions(path, mine | std::filesystem::perms::group_write);
  EXPECT_FALSE(cached_image("cpu", {1, 2}));
  std::filesystem::remove(path);
  std::filesystem::create_directory(path);
  EXPECT_FALSE(cached_image("cpu", {1, 2}));
}

TEST_F(DiskCache, KindsLieApartUnlessToldOtherwise) {
  ::unsetenv("PLAIT_CACHE_DIR");
  const char* const before = std::getenv("XDG_CACHE_HOME");
  const std::string kept = before ? before : "";
  ::setenv("XDG_CACHE_HOME", directory_.c_str(), 1);
  cache_image("cpu", {1, 2}, "machine code");
  EXPECT_TRUE(std::filesystem::exists(directory_ / "plait" / "cpu"));
  EXPECT_TRUE(cached_image("cpu", {1, 2}));
  EXPECT_FALSE(cached_image("cuda", {1, 2}));
  before ? ::setenv("XDG_CACHE_HOME", kept.c_str(), 1) : ::unsetenv("XDG_CACHE_HOME");
}

}  // namespace
}  // namespace plait
