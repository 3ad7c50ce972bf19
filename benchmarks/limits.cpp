// What this machine can do at most: limits THREADS BYTES NAME... answers each line "run N" with the best of N passes
// over each quantity: {"read": bytes/s, "copy": ..., "copy_nt": ..., "fma_f32": operations/s, "dot_bf16": ...}. Copies
// count the bytes read and the bytes written. BYTES is the size of one set and should be at least 8 times the
// last-level cache.
#include <algorithm>
#include <cstring>
#include <map>

#include "native.h"

namespace {
using yardstick::Team;

#if defined(__AVX512F__)
constexpr int kVectorBytes = 64;
#elif defined(__AVX__)
constexpr int kVectorBytes = 32;
#else
constexpr int kVectorBytes = 16;
#endif
using Floats __attribute__((vector_size(kVectorBytes))) = float;
constexpr int kLanes = kVectorBytes / 4;

/// Keeps a value alive, so that the work that made it is not removed.
template <typename T>
void keep(T& value) {
  asm volatile("" : : "g"(&value) : "memory");
}

void stream(float* to, Floats value) {
#if defined(__AVX512F__)
  _mm512_stream_ps(to, (__m512)value);
#elif defined(__AVX__)
  _mm256_stream_ps(to, (__m256)value);
#elif defined(__SSE2__)
  _mm_stream_ps(to, (__m128)value);
#else
  *reinterpret_cast<Floats*>(to) = value;  // no such store here: the limit is the plain copy
#endif
}

void read_part(const float* from, int64_t count) {
  constexpr int kSums = 8;
  Floats sums[kSums] = {};
  for (int64_t i = 0; i + kSums * kLanes <= count; i += kSums * kLanes) {
    for (int j = 0; j < kSums; ++j) sums[j] += *reinterpret_cast<const Floats*>(from + i + j * kLanes);
  }
  keep(sums);
}

void copy_streaming(const float* from, float* to, int64_t count) {
  constexpr int kStep = 4;
  for (int64_t i = 0; i + kStep * kLanes <= count; i += kStep * kLanes) {
    for (int j = 0; j < kStep; ++j)
      stream(to + i + j * kLanes, *reinterpret_cast<const Floats*>(from + i + j * kLanes));
  }
#if defined(__SSE2__)
  _mm_sfence();
#endif
}

void copy_plain(const float* from, float* to, int64_t count) {
  for (int64_t i = 0; i + kLanes <= count; i += kLanes) {
    *reinterpret_cast<Floats*>(to + i) = *reinterpret_cast<const Floats*>(from + i);
    asm volatile("" : : : "memory");  // keeps the loop from becoming a call of memcpy, which may stream
  }
}

constexpr int64_t kRounds = 400'000;
constexpr int kChains = 16;  // enough independent chains to hide the latency of either instruction

void fma_part() {
  Floats sums[kChains];
  Floats factor = Floats{} + 0.999F;
  Floats term = Floats{} + 0.001F;
  asm volatile("" : "+x"(factor), "+x"(term));
  for (int i = 0; i < kChains; ++i) sums[i] = Floats{} + static_cast<float>(i);
  for (int64_t round = 0; round < kRounds; ++round) {
#pragma GCC unroll 16
    for (int i = 0; i < kChains; ++i) sums[i] = sums[i] * factor + term;
  }
  keep(sums);
}

#if defined(__AVX512BF16__)
void dot_part() {
  __m512 sums[kChains];
  __m512i words = _mm512_set1_epi16(0x3c00);
  asm volatile("" : "+x"(words));
  for (auto& sum : sums) sum = _mm512_setzero_ps();
  for (int64_t round = 0; round < kRounds; ++round) {
#pragma GCC unroll 16
    for (int i = 0; i < kChains; ++i) sums[i] = _mm512_dpbf16_ps(sums[i], (__m512bh)words, (__m512bh)words);
  }
  keep(sums);
}
#endif

}  // namespace

int main(int argc, char** argv) {
  Team team(std::atoi(argv[1]));
  const int64_t count = std::atoll(argv[2]) / 4;
  const std::vector<std::string> names(argv + 3, argv + argc);
  const bool moves =
      std::any_of(names.begin(), names.end(), [](const std::string& name) { return name[0] == 'r' || name[0] == 'c'; });
  const std::span<float> from = yardstick::floats(moves ? count : 0);
  const std::span<float> to = yardstick::floats(moves ? count : 0);

  const auto over_parts = [&](auto part_work) {
    return [&team, count, part_work] {
      team.run([&](int part) {
        const auto [begin, end] = yardstick::share(count, part, team.size(), 1024);
        part_work(begin, end - begin);
      });
    };
  };
  const double bytes = 4.0 * static_cast<double>(count);
  const double operations = 2.0 * kLanes * kChains * kRounds * team.size();
  std::map<std::string, std::pair<double, std::function<void()>>> passes;
  passes["read"] = {bytes, over_parts([&](int64_t at, int64_t n) { read_part(&from[at], n); })};
  passes["copy"] = {2 * bytes, over_parts([&](int64_t at, int64_t n) { copy_plain(&from[at], &to[at], n); })};
  passes["copy_nt"] = {2 * bytes, over_parts([&](int64_t at, int64_t n) { copy_streaming(&from[at], &to[at], n); })};
  passes["fma_f32"] = {operations, [&] { team.run([](int) { fma_part(); }); }};
#if defined(__AVX512BF16__)
  passes["dot_bf16"] = {2 * operations, [&] { team.run([](int) { dot_part(); }); }};
#endif

  std::printf("{\"ready\": \"%d threads\", \"seconds\": 0.02}\n", team.size());
  std::fflush(stdout);
  for (int calls = 0; std::scanf(" run %d", &calls) == 1;) {
    const char* separator = "{";
    for (const std::string& name : names) {
      const auto found = passes.find(name);
      if (found == passes.end()) continue;  // no such instruction here: the report shows no share
      double best = 1e30;
      for (int i = 0; i < calls; ++i) best = std::min(best, yardstick::seconds_of(found->second.second));
      std::printf("%s\"%s\": %.6g", separator, name.c_str(), found->second.first / best);
      separator = ", ";
    }
    std::printf("%s}\n", separator[0] == '{' ? "{" : "");
    std::fflush(stdout);
  }
}
