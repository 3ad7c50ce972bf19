// Transforms of lines against sums by the definition in double. tests/CMakeLists.txt runs this file once for each instruction set.
#include "backends/cpu/fft.h"

#include <gtest/gtest.h>

#include <cmath>
#include <complex>
#include <numbers>
#include <random>
#include <vector>

#include "base/parallel.h"

namespace plait::cpu {
namespace {

using Wide = std::complex<double>;
using Numbers = std::vector<std::complex<float>>;

Numbers random_numbers(int64_t n) {
  std::mt19937 random(7);
  std::uniform_real_distribution<float> part(-1, 1);
  Numbers x(static_cast<size_t>(n));
  for (auto& v : x) v = {part(random), part(random)};
  return x;
}

/// exp(2 pi i k / n)
const std::vector<Wide>& roots_of(int64_t n) {
  static std::vector<Wide> roots;
  if (roots.size() == static_cast<size_t>(n)) return roots;
  roots.clear();
  for (int64_t k = 0; k < n; ++k)
    roots.push_back(std::polar(1.0, 2 * std::numbers::pi * static_cast<double>(k) / static_cast<double>(n)));
  return roots;
}

/// Norm of the error of the transform of `from` in `to`, against that of the result. Few elements of long lines are looked at.
double error_of(const Numbers& from, int64_t from_first, int64_t from_step, const Numbers& to, int64_t to_first,
                int64_t to_step, int64_t n, bool inverse, double scale) {
  const std::vector<Wide>& roots = roots_of(n);
  double error = 0, size = 0;
  for (int64_t k = 0; k < n; k += 1 + n / 64) {
    Wide sum = 0;
    for (int64_t j = 0; j < n; ++j) {
      const Wide root = roots[static_cast<size_t>(inverse ? j * k % n : (n - j * k % n) % n)];
      sum += Wide(from[static_cast<size_t>(from_first + j * from_step)]) * root;
    }
    error += std::norm(Wide(to[static_cast<size_t>(to_first + k * to_step)]) - scale * sum);
    size += std::norm(scale * sum);
  }
  return std::sqrt(error / size);
}

double tolerance(int64_t n) { return 0x1p-24 * (2 + std::log2(static_cast<double>(n))); }

struct Layout {
  int64_t lines, from_step, from_next, to_step, to_next;
  bool neighbours;
};

void check(int64_t n, const Layout& at, bool inverse) {
  const Numbers from = random_numbers(n * at.lines);
  Numbers to(from.size(), {7, 7});
  const Fft fft(n, inverse, 0.5f, {at.lines, at.neighbours});
  auto* in = reinterpret_cast<float*>(const_cast<std::complex<float>*>(from.data()));
  auto* out = reinterpret_cast<float*>(to.data());
  for (int64_t l = 0; l < at.lines; l += fft.group())
    fft.run({in + 2 * l * at.from_next, at.from_step, at.from_next}, {out + 2 * l * at.to_next, at.to_step, at.to_next},
            std::min(fft.group(), at.lines - l));
  for (int64_t l = 0; l < at.lines; ++l)
    ASSERT_LT(error_of(from, l * at.from_next, at.from_step, to, l * at.to_next, at.to_step, n, inverse, 0.5),
              tolerance(n))
        << "n = " << n << ", line " << l << " of " << at.lines << (inverse ? ", inverse" : "");
}

void check_layouts(int64_t n, int64_t lines) {
  for (const bool inverse : {false, true}) {
    check(n, {lines, 1, n, 1, n, false}, inverse);  // rows to rows
    check(n, {lines, lines, 1, lines, 1, true}, inverse);  // columns to columns
    check(n, {lines, lines, 1, 1, n, false}, inverse);  // columns to rows
    check(n, {lines, 1, n, lines, 1, false}, inverse);  // rows to columns
  }
}

TEST(Fft, TransformsEveryShortLength) {
  for (int64_t n = 1; n <= 140; ++n)
    for (const int64_t lines : {int64_t{1}, int64_t{3}, 2 * int64_t{fft_kernels().lanes} + 1}) check_layouts(n, lines);
}

TEST(Fft, TransformsLongLines) {
  for (const int64_t n : {169, 256, 257, 61 * 61, 1000, 1024, 4096, 5003, 9 * 25 * 49})
    for (const int64_t lines : {1, 20}) check_layouts(n, lines);
  check(1 << 17, {1, 1, 0, 1, 0, false}, false);
  check(3 << 16, {2, 2, 1, 1, 3 << 16, false}, true);
  check(70001, {1, 1, 0, 1, 0, false}, true);
}

TEST(Fft, GivesTheSameBitsForAnyNumberOfThreads) {
  const int64_t n = 1 << 16;
  const Numbers from = random_numbers(n);
  std::vector<Numbers> results;
  for (const int threads : {1, 2, 5}) {
    set_thread_count(threads);
    Numbers to(from.size());
    Fft(n, false, 1.0f, {1, false})
        .run({reinterpret_cast<float*>(const_cast<std::complex<float>*>(from.data())), 1, n},
             {reinterpret_cast<float*>(to.data()), 1, n}, 1);
    results.push_back(to);
  }
  set_thread_count(0);
  EXPECT_EQ(results[0], results[1]);
  EXPECT_EQ(results[0], results[2]);
}

TEST(Fft, KnowsWhichLengthsPassesDo) {
  EXPECT_TRUE(has_passes(1));
  EXPECT_TRUE(has_passes(61 * 59 * 64));
  EXPECT_FALSE(has_passes(67));
  EXPECT_FALSE(has_passes(67 * 64));
}

TEST(FftPlan, IsMadeOnce) {
  EXPECT_EQ(fft_plan<FftPasses>(30030), fft_plan<FftPasses>(30030));
  const auto held = fft_plan<FftPasses>(30);
  for (int64_t n = int64_t{1} << 18; n < (int64_t{1} << 18) + 64 * 1024; n += 1024)
    (void)fft_plan<FftHalf>(n);  // more than the cache holds
  EXPECT_EQ(held->passes.front().radix, 5);
}

}  // namespace
}  // namespace plait::cpu
