// For tests: a cache on disk of their own.
#pragma once

#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <string>
#include <vector>

namespace plait {

class CacheCase : public ::testing::Test {
 protected:
  void SetUp() override {
    directory_ = std::filesystem::temp_directory_path() / ("plait_cache_test_" + std::to_string(::getpid()));
    ::setenv("PLAIT_CACHE_DIR", directory_.c_str(), 1);
  }
  void TearDown() override {
    ::unsetenv("PLAIT_CACHE_DIR");
    std::filesystem::remove_all(directory_);
  }
  std::vector<std::filesystem::path> files() const {
    std::vector<std::filesystem::path> found;
    for (const auto& item : std::filesystem::directory_iterator(directory_)) found.push_back(item.path());
    return found;
  }
  std::filesystem::path directory_;
};

}  // namespace plait
