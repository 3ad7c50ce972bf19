// FORMAT_fuzzer --seeds FOLDER writes valid files to begin with; FORMAT_fuzzer FOLDER... fuzzes from them.
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>

#include "engine/engine.h"
#include "io/fuzz.h"
#include "plait/memory.h"

namespace {

[[maybe_unused]] const auto engine_linked = plait::engine::plan_cache_stats();

constexpr plait::FileFormat kFormat = plait::FileFormat::PLAIT_FUZZ_FORMAT;

}  // namespace

extern "C" int LLVMFuzzerInitialize(int* argc, char*** argv) {
  if (*argc == 3 && std::strcmp((*argv)[1], "--seeds") == 0) {
    std::filesystem::create_directories((*argv)[2]);
    int number = 0;
    for (const std::string& seed : plait::fuzz::seed_files(kFormat))
      std::ofstream((*argv)[2] + std::string("/") + std::to_string(number++), std::ios::binary) << seed;
    std::exit(0);
  }
  plait::set_memory_limit(int64_t{1} << 30);
  return 0;
}

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  (void)plait::fuzz::try_file(std::string(reinterpret_cast<const char*>(data), size), kFormat);
  return 0;
}
