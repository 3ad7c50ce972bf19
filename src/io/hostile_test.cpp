// Files with changes at random, and cut at each byte: they are read, or raise one of plait's errors.
#include <gtest/gtest.h>

#include <random>

#include "engine/engine.h"
#include "io/fuzz.h"

namespace plait {
namespace {

[[maybe_unused]] const auto engine_linked = engine::plan_cache_stats();

class Hostile : public testing::TestWithParam<FileFormat> {};

TEST_P(Hostile, SeedsAreFiles) {
  size_t read = 0;
  const auto seeds = fuzz::seed_files(GetParam());
  for (const std::string& seed : seeds) read += fuzz::try_file(seed, GetParam());
  EXPECT_GE(read, GetParam() == FileFormat::npy ? 10u : seeds.size());  // one has fields, three times
}

TEST_P(Hostile, CutFilesRaise) {
  for (const std::string& seed : fuzz::seed_files(GetParam())) {
    if (!fuzz::try_file(seed, GetParam())) continue;
    const bool padded = GetParam() == FileFormat::gguf;  // bytes behind the last tensor mean nothing
    for (size_t length = 0; length + (padded ? 300 : 0) < seed.size(); ++length) {
      // Of npy the first array counts, and these have bytes behind it at most where elements are given to several headers.
      if (GetParam() == FileFormat::npy && length + 24 >= seed.size()) break;
      EXPECT_THROW(fuzz::load_text(seed.substr(0, length), GetParam()), UserError) << length << " of " << seed.size();
    }
  }
}

TEST_P(Hostile, ChangedFilesAreReadOrRaise) {
  std::mt19937_64 random(1);
  const auto seeds = fuzz::seed_files(GetParam());
  int read = 0, rejected = 0;
  for (int i = 0; i < 4000; ++i) {
    std::string file = seeds[random() % seeds.size()];
    for (uint64_t k = random() % 4 + 1; k-- > 0;) {
      const size_t at = random() % file.size();
      switch (random() % 4) {
        case 0: file[at] = static_cast<char>(random()); break;
        case 1: file[at] = static_cast<char>(file[at] ^ 1 << random() % 8); break;
        case 2: file.erase(at, random() % 16); break;
        default: file.insert(at, file.substr(random() % file.size(), random() % 16)); break;
      }
      if (file.empty()) file = "x";
    }
    ++(fuzz::try_file(file, GetParam()) ? read : rejected);
  }
  EXPECT_GT(rejected, 100);
  RecordProperty("read", read);
}

std::string format_name(const testing::TestParamInfo<FileFormat>& info) {
  constexpr const char* names[] = {"npy", "npz", "safetensors", "gguf"};
  return names[static_cast<int>(info.param)];
}

INSTANTIATE_TEST_SUITE_P(Formats, Hostile,
                         testing::Values(FileFormat::npy, FileFormat::npz, FileFormat::safetensors, FileFormat::gguf),
                         format_name);

}  // namespace
}  // namespace plait
