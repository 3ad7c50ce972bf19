#include <algorithm>

#include "backends/cpu/cpu_features.h"
#include "backends/cpu/threefry_kernels.h"
#include "backends/kernel.h"
#include "backends/threefry.h"
#include "base/parallel.h"
#include "plait/error.h"

namespace plait {
namespace {

constexpr int64_t kWordGrain = 16384;
constexpr int64_t kFewWords = 32;  // below, a vector would mostly be thrown away

cpu::ThreefryFn threefry_of_target() {
#if defined(__x86_64__)
  if (cpu::active_target() == cpu::Target::avx512) return cpu::avx512::threefry;
  if (cpu::active_target() == cpu::Target::avx2) return cpu::avx2::threefry;
#endif
  return cpu::portable::threefry;
}

// Keys are (..., 2); each gives one stream of as many words as the other axes of the output hold.
void random_bits(const KernelArgs& args) {
  const uint32_t* keys = args.inputs[0].as<uint32_t>();
  uint32_t* to = args.outputs[0].as<uint32_t>();
  const int64_t streams = args.inputs[0].count() / 2;
  if (streams == 0 || args.outputs[0].count() == 0) return;
  const int64_t n = args.outputs[0].count() / streams;
  constexpr int64_t kMost = int64_t{1} << 33;  // past that, counters repeat
  if (n > kMost)
    throw ArgumentError({.op = "random",
                         .got = std::to_string(n) + " values from one key",
                         .accepts = "at most " + std::to_string(kMost),
                         .hint = "split the key"});
  if (n <= kFewWords) {
    parallel_for(streams, kWordGrain / n / 8, [&](int64_t begin, int64_t end) {
      for (int64_t s = begin; s < end; ++s)
        for (int64_t i = 0; i < n; ++i) to[s * n + i] = random_word({keys[2 * s], keys[2 * s + 1]}, i, n);
    });
    return;
  }
  static const cpu::ThreefryFn threefry_blocks = threefry_of_target();
  const int64_t half = n / 2, upper = n - half;
  const int64_t chunks = (half + kWordGrain - 1) / kWordGrain;
  parallel_for(streams * chunks, 1, [&](int64_t begin, int64_t end) {
    for (int64_t c = begin; c < end; ++c) {
      const uint32_t* key = keys + 2 * (c / chunks);
      uint32_t* words = to + c / chunks * n;
      const int64_t from = c % chunks * kWordGrain, count = std::min(kWordGrain, half - from);
      threefry_blocks(key, static_cast<uint32_t>(from), static_cast<uint32_t>(upper + from), words + from,
                      words + upper + from, count);
      if (from == 0 && upper > half) words[half] = random_word({key[0], key[1]}, half, n);
    }
  });
}

}  // namespace

void register_cpu_kernels_random_bits(KernelTable& table) {
  table.add("random_bits", Backend::cpu, {.run = random_bits});
}

}  // namespace plait
