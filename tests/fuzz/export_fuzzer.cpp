// export_fuzzer --seeds FOLDER writes valid files to begin with; export_fuzzer FOLDER fuzzes from them.
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>

#include "engine/engine.h"
#include "transforms/export_fuzz.h"

namespace {

[[maybe_unused]] const auto engine_linked = plait::engine::plan_cache_stats();

std::string bytes_of(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

void write_seeds(const std::string& folder) {
  std::filesystem::create_directories(folder);
  int number = 0;
  for (const std::string& seed : plait::fuzz::seed_files(folder, bytes_of))
    std::ofstream(folder + "/" + std::to_string(number++), std::ios::binary) << seed;
  std::filesystem::remove(folder + "/seed");
}

}  // namespace

extern "C" int LLVMFuzzerInitialize(int* argc, char*** argv) {
  if (*argc == 3 && std::strcmp((*argv)[1], "--seeds") == 0) {
    write_seeds((*argv)[2]);
    std::exit(0);
  }
  plait::set_memory_limit(int64_t{1} << 30);
  return 0;
}

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  std::string file(reinterpret_cast<const char*>(data), size);
  plait::fuzz::repair_sums(file);
  (void)plait::fuzz::try_file(file);
  return 0;
}
