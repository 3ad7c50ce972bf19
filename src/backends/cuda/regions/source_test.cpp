// Generated source compiles, for every op and type and for random programs. Needs NVRTC, no GPU.
#include "backends/cuda/regions/source.h"

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "backends/cuda/libraries/library.h"
#include "backends/cuda/regions/build.h"
#include "backends/cuda/regions/cases.h"
#include "backends/cuda/regions/module.h"
#include "backends/disk_cache.h"
#include "backends/disk_cache_case.h"
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

/// Some of the ways of going over the space, others for other seeds.
void expect_ways_compile(const Staged& staged, unsigned seed) {
  if (!staged.has_row()) {
    expect_compiles(elementwise_source(staged, static_cast<ElementForm>(seed % 4)));
    return;
  }
  expect_compiles(rows_source(staged, static_cast<RowForm>(seed % 4), static_cast<RowFit>(seed % 3)));
  expect_compiles(seed % 5 == 4 ? short_source(staged) : split_source(staged, static_cast<SplitForm>(seed % 5)));
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
    expect_ways_compile(staged, static_cast<unsigned>(type));
    if (HasFailure()) return;
  }
}

TEST(CudaSource, RandomProgramsCompile) {
  PLAIT_NEEDS_NVRTC();
  for (unsigned seed = 0; seed < 12; ++seed) {
    Random random(seed);
    const Staged staged(random_case(random).program);
    SCOPED_TRACE("seed " + std::to_string(seed));
    expect_ways_compile(staged, seed);
    if (HasFailure()) return;
  }
}

TEST(CudaSource, LongProgramsReadAnInputOnce) {
  PLAIT_NEEDS_NVRTC();
  ir::Builder builder;
  RegionProgram program;
  program.rank = 2;
  program.row_rank = 1;
  program.inputs = {{DType::float64, Level::row}};
  const auto x = [&] { return builder.input(0, DType::float64, Level::row); };
  ir::Val sum = x();
  for (int k = 0; k < 50; ++k) sum = ir::sqrt(sum + 1.0 * k);  // more instructions than the builder looks back over
  sum = builder.reduce(ir::Op::reduce_sum, sum);
  program.outputs.push_back({(builder.spread(sum, Level::row) * x()).id, DType::float64, Level::row});
  program.code = builder.take();
  const Staged staged(std::move(program));
  for (unsigned seed = 0; seed < 4; ++seed) expect_ways_compile(staged, seed);
}

TEST(CudaSource, OneTextForAllShapes) {
  const Staged a(softmax_program(DType::float32)), b(softmax_program(DType::float32));
  EXPECT_EQ(rows_source(a, RowForm::block, RowFit::even).text, rows_source(b, RowForm::block, RowFit::even).text);
}

using DiskCache = CacheCase;

TEST_F(DiskCache, DamagedEntriesAreBuiltAgain) {
  PLAIT_NEEDS_NVRTC();
  const Source source{"extern \"C\" __global__ void nothing() {}\n", {"nothing"}};
  const std::string made = build(source, kCapability);
  const auto path = files().front();
  const auto size = std::filesystem::file_size(path);
  for (const uintmax_t left : {size - 1, uintmax_t{10}, uintmax_t{0}}) {
    std::filesystem::resize_file(path, left);
    EXPECT_EQ(build(source, kCapability), made);
    EXPECT_EQ(std::filesystem::file_size(path), size);
  }
}

/// What a process with a new copy of NVRTC does, away from this one's threads and libraries.
class FreshProcessDeathTest : public DiskCache {
 protected:
  void SetUp() override {
    DiskCache::SetUp();
    GTEST_FLAG_SET(death_test_style, "threadsafe");
  }
};

bool is_machine_code(const std::string& image) {
  return image.starts_with(
      "\x7f"
      "ELF");
}

// Builds the same and others' code, and goes over the bound of the cache all the while.
int build_beside_others(const std::string& directory, uint64_t process) try {
  for (uint64_t k = 0; k < 5; ++k) {
    const Source source{"extern \"C\" __global__ void nothing_" + std::to_string(k) + "() {}\n", {"nothing"}};
    if (!is_machine_code(build(source, kCapability))) return 1;
    for (uint64_t i = 0; i < 20; ++i) {
      const Key128 own{process + 1, i}, shared{100, i};
      const std::string image(1000 + 10 * i, 'x');
      cache_image("cuda", own, image);
      cache_image("cuda", shared, image);
      if (const auto got = cached_image("cuda", shared); got && *got != image) return 2;
      trim_cache(directory, 60000);
    }
  }
  return 0;
} catch (const std::exception& error) {
  std::fprintf(stderr, "%s\n", error.what());
  return 3;
}

int build_in_processes(const std::string& directory) {
  constexpr uint64_t kProcesses = 6;
  std::vector<pid_t> children;
  for (uint64_t p = 0; p < kProcesses; ++p) {
    children.push_back(::fork());
    if (children.back() == 0) ::_exit(build_beside_others(directory, p));
  }
  int worst = 0;
  for (const pid_t child : children) {
    int status = 0;
    ::waitpid(child, &status, 0);
    worst = std::max(worst, WIFEXITED(status) ? WEXITSTATUS(status) : 10);
  }
  trim_cache(directory, 60000);
  uintmax_t sum = 0;
  for (const auto& item : std::filesystem::directory_iterator(directory)) {
    if (item.path().extension() != ".image") worst = 20;  // a part of an entry
    sum += item.file_size();
  }
  if (sum == 0 || sum > 60000) worst = 21;
  std::filesystem::remove_all(directory);
  return worst;
}

TEST_F(FreshProcessDeathTest, ManyProcessesShareACache) {
  PLAIT_NEEDS_NVRTC();
  EXPECT_EXIT(std::exit(build_in_processes(directory_.string())), ::testing::ExitedWithCode(0), "");
}

// Asks for code of two programs in the background until one of them is spoken of; how often that was.
int times_said(const Source& first, const Source& second) {
  std::FILE* const said = std::tmpfile();
  ::dup2(::fileno(said), 2);
  if (module_of(first, kCapability, Wait::no) || module_of(second, kCapability, Wait::no)) return 100;
  std::string text;
  for (int i = 0; i < 100; ++i) {
    ::usleep(i < 99 && text.empty() ? 50'000 : 1'000'000);
    char part[4096];
    std::rewind(said);
    const size_t n = std::fread(part, 1, sizeof part, said);
    const bool waited = !text.empty();
    text.assign(part, n);
    if (waited) break;
  }
  int times = 0;
  for (size_t at = 0; (at = text.find("regions stay on the slower tier 0", at)) != std::string::npos; ++at) ++times;
  return times;
}

int times_said_without_nvrtc() {
  const Source some{"extern \"C\" __global__ void nothing() {}\n", {"nothing"}};
  try {
    compile(some, kCapability);
    return 50;
  } catch (const DeviceError& error) {
    if (std::string(error.what()).find("pip install nvidia-cuda-nvrtc") == std::string::npos) return 51;
  }
  return times_said(some, {some.text + "//\n", {"nothing"}});
}

TEST_F(FreshProcessDeathTest, CodeThatIsRejectedIsSaidOnce) {
  PLAIT_NEEDS_NVRTC();
  EXPECT_EXIT(std::exit(times_said({"no CUDA\n", {"nothing"}}, {"none either\n", {"nothing"}})),
              ::testing::ExitedWithCode(1), "");
}

void end_while_code_is_made(useconds_t after) {
  for (unsigned seed = 0; seed < 8; ++seed) {
    Random random(seed);
    module_of(elementwise_source(Staged(random_case(random).program), ElementForm::strided_wide), kCapability,
              Wait::no);
  }
  ::usleep(after);
  std::exit(0);
}

TEST_F(FreshProcessDeathTest, TheProcessMayEndWhileCodeIsMade) {
  try {
    Library{kNvrtc};  // PLAIT_NEEDS_NVRTC compiles, and what NVRTC sets up by that is to come late here
  } catch (const DeviceError& error) {
    GTEST_SKIP() << "NVRTC is not there: " << error.what();
  }
  for (const useconds_t ms : {0, 5, 20, 40, 80, 160, 320, 640})
    EXPECT_EXIT(end_while_code_is_made(1000 * ms), ::testing::ExitedWithCode(0), "") << "after " << ms << " ms";
}

// A library by the name of NVRTC that is another: found first, as LD_LIBRARY_PATH goes before everything.
TEST_F(FreshProcessDeathTest, AnUnusableNvrtcIsSaidOnce) {
  std::filesystem::create_directories(directory_);
  std::filesystem::copy_file(Library({"libm.so.6", "libc6"}).path(), directory_ / kNvrtc.file);
  const char* const before = std::getenv("LD_LIBRARY_PATH");
  const std::string path = directory_.string() + (before ? ":" + std::string(before) : "");
  const std::string old = before ? before : "";
  ::setenv("LD_LIBRARY_PATH", path.c_str(), 1);
  EXPECT_EXIT(std::exit(times_said_without_nvrtc()), ::testing::ExitedWithCode(1), "");
  before ? ::setenv("LD_LIBRARY_PATH", old.c_str(), 1) : ::unsetenv("LD_LIBRARY_PATH");
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
