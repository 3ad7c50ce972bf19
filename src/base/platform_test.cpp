#include "base/platform.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <cmath>
#include <filesystem>
#include <fstream>
#include <string>

namespace plait::platform {
namespace {

// A small copy of the files that describe cgroups, in a directory of its own.
class Files : public testing::Test {
 protected:
  Files() : root_(std::filesystem::temp_directory_path() / ("plait_platform_test." + std::to_string(::getpid()))) {}
  ~Files() override { std::filesystem::remove_all(root_); }
  void write(const std::string& path, const std::string& text) {
    const auto file = root_ / path;
    std::filesystem::create_directories(file.parent_path());
    std::ofstream(file) << text;
  }
  const char* root() const { return root_.c_str(); }

 private:
  std::filesystem::path root_;
};

TEST_F(Files, Version2TakesTheTightestAncestor) {
  write("proc/self/cgroup", "0::/outer/inner\n");
  write("proc/self/mountinfo", "30 23 0:26 / /sys/fs/cgroup rw shared:4 - cgroup2 cgroup2 rw\n");
  write("sys/fs/cgroup/outer/memory.max", "1000000\n");
  write("sys/fs/cgroup/outer/memory.current", "400000\n");
  write("sys/fs/cgroup/outer/memory.stat", "anon 300000\nfile 70000\ninactive_file 50000\nactive_file 20000\n");
  write("sys/fs/cgroup/outer/inner/memory.max", "max\n");
  write("sys/fs/cgroup/outer/inner/memory.current", "100\n");
  write("sys/fs/cgroup/outer/cpu.max", "max 100000\n");
  write("sys/fs/cgroup/outer/inner/cpu.max", "150000 100000\n");
  EXPECT_EQ(detail::cgroup_memory_limit_at(root()), 1000000);
  EXPECT_EQ(detail::cgroup_memory_headroom_at(root()), 670000);
  EXPECT_EQ(detail::cgroup_cpu_quota_at(root()), 1.5);
}

TEST_F(Files, Version1InAContainerSeesItsPartOfTheMount) {
  write("proc/self/cgroup", "5:cpu,cpuacct:/docker/abc\n4:memory:/docker/abc\n0::/docker/abc\n");
  write("proc/self/mountinfo",
        "31 30 0:28 /docker/abc /sys/fs/cgroup/memory ro - cgroup cgroup rw,memory\n"
        "32 30 0:29 /docker/abc /sys/fs/cgroup/cpu ro - cgroup cgroup rw,cpu,cpuacct\n"
        "33 30 0:30 / /sys/fs/cgroup/unified ro - cgroup2 cgroup2 rw\n");
  write("sys/fs/cgroup/memory/memory.limit_in_bytes", "9000\n");
  write("sys/fs/cgroup/memory/memory.usage_in_bytes", "9500\n");
  write("sys/fs/cgroup/cpu/cpu.cfs_quota_us", "50000\n");
  write("sys/fs/cgroup/cpu/cpu.cfs_period_us", "100000\n");
  EXPECT_EQ(detail::cgroup_memory_limit_at(root()), 9000);
  EXPECT_EQ(detail::cgroup_memory_headroom_at(root()), 0);
  EXPECT_EQ(detail::cgroup_cpu_quota_at(root()), 0.5);
}

TEST_F(Files, NoLimitIsUnlimited) {
  EXPECT_EQ(detail::cgroup_memory_limit_at(root()), kUnlimited);
  write("proc/self/cgroup", "4:memory:/\n5:cpu:/\n");
  write("proc/self/mountinfo",
        "31 30 0:28 / /m ro - cgroup cgroup rw,memory\n"
        "32 30 0:29 / /c ro - cgroup cgroup rw,cpu\n");
  write("m/memory.limit_in_bytes", "9223372036854771712\n");
  write("m/memory.usage_in_bytes", "1\n");
  write("c/cpu.cfs_quota_us", "-1\n");
  write("c/cpu.cfs_period_us", "100000\n");
  EXPECT_EQ(detail::cgroup_memory_limit_at(root()), kUnlimited);
  EXPECT_EQ(detail::cgroup_memory_headroom_at(root()), kUnlimited);
  EXPECT_TRUE(std::isinf(detail::cgroup_cpu_quota_at(root())));
}

TEST(Platform, ThisMachineIsPlausible) {
  EXPECT_GE(affinity_cpus(), 1);
  EXPECT_GE(usable_cpus(), 1);
  EXPECT_LE(usable_cpus(), affinity_cpus());
  EXPECT_GE(page_bytes(), 4096);
  EXPECT_GT(total_memory(), int64_t{1} << 28);
  EXPECT_GT(free_memory(), 0);
  EXPECT_GT(cgroup_memory_headroom(), 0);
  EXPECT_GT(resident_anonymous_memory(), 0);
  huge_pages_available();
}

}  // namespace
}  // namespace plait::platform
