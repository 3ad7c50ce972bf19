// Generated source compiles, for every op and type and for random programs. Needs NVRTC, no GPU.
#include "backends/cuda/regions/source.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "backends/cuda/regions/build.h"
#include "backends/cuda/regions/cases.h"
#include "backends/cuda/regions/disk_cache.h"
#include "plait/error.h"

namespace plait::cuda {
namespace {

using namespace region_cases;

constexpr int kCapability = 90;

bool have_nvrtc() {
  try {
    compile({"extern \"C\" __global__ void nothing() {}\n", {"nothing"}}, kCapability);
    return true;
  } catch (const DeviceError& error) {
    std::printf("SKIPPED, NVRTC is not there: %s\n", error.what());
    return false;
  }
}
#define PLAIT_NEEDS_NVRTC() \
  if (!have_nvrtc()) GTEST_SKIP() << "NVRTC is not there"

void expect_compiles(const Source& source) {
  try {
    EXPECT_FALSE(compile(source, kCapability).empty());
  } catch (const InternalError& error) {
    ADD_FAILURE() << error.what() << "\n" << source.text;
  }
}

void expect_all_compile(const Staged& staged, bool large) {
  if (!staged.has_row()) {
    for (const ElementForm form : {ElementForm::linear, ElementForm::strided})
      expect_compiles(elementwise_source(staged, form));
    return;
  }
  for (const RowFit fit : {RowFit::full, RowFit::even, RowFit::any})
    expect_compiles(rows_source(staged, large ? RowForm::large : RowForm::few, fit));
  expect_compiles(rows_source(staged, large ? RowForm::warp : RowForm::block, RowFit::even));
  for (const SplitForm form : {SplitForm::rows, SplitForm::columns}) expect_compiles(split_source(staged, form));
}

TEST(CudaSource, EveryOpOfEveryTypeCompiles) {
  PLAIT_NEEDS_NVRTC();
  for (const DType type : kTypes) {  // one program with all ops of a type
    RegionProgram program = all_ops_program(type);
    expect_compiles(elementwise_source(Staged(std::move(program)), ElementForm::strided_wide));
    if (HasFailure()) return;
  }
}

TEST(CudaSource, ReductionsOfEveryTypeCompile) {
  PLAIT_NEEDS_NVRTC();
  for (const DType type : kTypes) {
    const Staged staged(reductions(type, 1, {3, 5}).program);
    expect_all_compile(staged, size_of(type) > 2);
    if (HasFailure()) return;
  }
}

TEST(CudaSource, RandomProgramsCompile) {
  PLAIT_NEEDS_NVRTC();
  for (unsigned seed = 0; seed < 12; ++seed) {
    Random random(seed);
    const Staged staged(random_case(random).program);
    SCOPED_TRACE("seed " + std::to_string(seed));
    expect_all_compile(staged, seed % 2 == 0);
    if (HasFailure()) return;
  }
}

TEST(CudaSource, OneTextForAllShapes) {
  const Staged a(softmax_program(DType::float32)), b(softmax_program(DType::float32));
  EXPECT_EQ(rows_source(a, RowForm::block, RowFit::even).text, rows_source(b, RowForm::block, RowFit::even).text);
}

class DiskCache : public ::testing::Test {
 protected:
  void SetUp() override {
    directory_ = std::filesystem::temp_directory_path() / ("plait_cuda_cache_test_" + std::to_string(::getpid()));
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

TEST_F(DiskCache, GivesBackWhatWasPutIn) {
  EXPECT_FALSE(cached_image({1, 2}));
  cache_image({1, 2}, "machine code");
  EXPECT_EQ(cached_image({1, 2}), "machine code");
  EXPECT_FALSE(cached_image({2, 1}));
  EXPECT_EQ(files().size(), 1u);
}

TEST_F(DiskCache, IgnoresWhatIsDamaged) {
  cache_image({1, 2}, "machine code");
  const auto path = files().front();
  const auto size = std::filesystem::file_size(path);
  {
    std::fstream file(path, std::ios::in | std::ios::out | std::ios::binary);
    file.seekp(static_cast<std::streamoff>(size) - 3);
    file.put('?');
  }
  EXPECT_FALSE(cached_image({1, 2}));
  std::filesystem::resize_file(path, size - 5);
  EXPECT_FALSE(cached_image({1, 2}));
  std::filesystem::resize_file(path, 4);
  EXPECT_FALSE(cached_image({1, 2}));
  cache_image({1, 2}, "machine code");
  EXPECT_EQ(cached_image({1, 2}), "machine code");
}

TEST_F(DiskCache, TrimsWhatWasUsedLongestAgo) {
  for (uint64_t k = 0; k < 4; ++k) {
    cache_image({k, k}, std::string(1000, 'x'));
    for (const auto& path : files())
      if (path.filename().string().find(std::to_string(k) + ".image") != std::string::npos)
        std::filesystem::last_write_time(path,
                                         std::filesystem::file_time_type::clock::now() - std::chrono::hours(10 - k));
  }
  EXPECT_TRUE(cached_image({0, 0}));  // used now
  trim_cache(directory_.string(), 2500);
  EXPECT_TRUE(cached_image({0, 0}));
  EXPECT_FALSE(cached_image({1, 1}));
  EXPECT_FALSE(cached_image({2, 2}));
  EXPECT_TRUE(cached_image({3, 3}));
}

TEST_F(DiskCache, AnUnusableDirectoryIsAnEmptyCache) {
  ::setenv("PLAIT_CACHE_DIR", "/proc/nowhere", 1);
  cache_image({1, 2}, "machine code");
  EXPECT_FALSE(cached_image({1, 2}));
}

TEST_F(DiskCache, BuildsTakeFromIt) {
  PLAIT_NEEDS_NVRTC();
  const Source source{"extern \"C\" __global__ void nothing() {}\n", {"nothing"}};
  const std::string made = build(source, kCapability);
  ASSERT_EQ(files().size(), 1u);
  EXPECT_EQ(build(source, kCapability), made);
  EXPECT_NE(build({source.text + "// other\n", {"nothing"}}, kCapability).size(), 0u);
  EXPECT_EQ(files().size(), 2u);
}

}  // namespace
}  // namespace plait::cuda
