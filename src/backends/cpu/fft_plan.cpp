#include "backends/cpu/fft_plan.h"

#include <cmath>
#include <deque>
#include <mutex>
#include <numbers>
#include <unordered_map>
#include <utility>

#include "backends/cpu/cpu_features.h"
#include "backends/cpu/fft.h"
#include "base/trace.h"

namespace plait::cpu {
namespace {

struct Root {
  double re, im;
};

/// exp(-2 pi i k / n), 0 <= k < n, from an angle of an eighth of a turn at most.
Root root(int64_t k, int64_t n) {
  const int64_t eighth = (8 * k) / n;  // n is far below 2^60
  const int64_t quarter = (eighth + 1) / 2;
  const double angle = 2 * std::numbers::pi * (static_cast<double>(4 * k - quarter * n) / (4 * static_cast<double>(n)));
  const double c = std::cos(angle), s = -std::sin(angle);
  switch (quarter & 3) {
    case 0: return {c, s};
    case 1: return {s, -c};
    case 2: return {-c, -s};
    default: return {-s, c};
  }
}

template <class T>
void append(std::vector<T>& to, Root w) {
  to.push_back(static_cast<T>(w.re));
  to.push_back(static_cast<T>(w.im));
}

template <class T>
int64_t bytes_of(const std::vector<T>& v) {
  return static_cast<int64_t>(v.size() * sizeof(T));
}

std::vector<int> radices_of(int64_t n) {
  std::vector<int> radices;
  for (int radix = kMostRadix; radix > 2; radix -= 2)
    for (; n % radix == 0; n /= radix) {
      int prime = 3;
      while (radix % prime != 0) prime += 2;
      if (prime != radix) break;
      radices.push_back(radix);
    }
  int twos = 0;
  for (; n % 2 == 0; n /= 2) ++twos;
  if (n != 1) return {};
  for (; twos >= 3 && twos != 4; twos -= 3) radices.push_back(8);
  for (; twos >= 2; twos -= 2) radices.push_back(4);
  if (twos == 1) radices.push_back(2);
  return radices;
}

/// What a split of n costs: both halves are done in whole vectors.
int64_t cost_of(int64_t n1, int64_t n2, int64_t lanes) {
  const auto whole = [lanes](int64_t n) { return (n + lanes - 1) / lanes * lanes; };
  return n1 * whole(n2) + n2 * whole(n1);
}

/// The smallest length from `least` on that has the factors 2, 3 and 5 only.
int64_t smooth_length(int64_t least) {
  int64_t best = 1;
  while (best < least) best *= 2;
  for (int64_t fives = 1; fives < best; fives *= 5)
    for (int64_t threes = fives; threes < best; threes *= 3) {
      int64_t n = threes;
      while (n < least) n *= 2;
      best = std::min(best, n);
    }
  return best;
}

const FftKernels& kernels_of_target() {
#if defined(__x86_64__)
  if (active_target() == Target::avx512) return avx512::kFftKernels;
  if (active_target() == Target::avx2) return avx2::kFftKernels;
#endif
  return portable::kFftKernels;
}

constexpr int64_t kMostBytes = int64_t{64} << 20;

/// Threads: any. A plan that went out of the cache lives as long as someone holds it.
template <class Plan>
class Cache {
 public:
  std::shared_ptr<const Plan> get(int64_t n) {
    {
      const std::lock_guard lock(mutex_);
      if (const auto it = plans_.find(n); it != plans_.end()) return it->second;
    }
    static trace::Counter built("fft_plans_built");
    built.add();
    auto plan = std::make_shared<const Plan>(n);
    if (plan->bytes() > kMostBytes) return plan;
    const std::lock_guard lock(mutex_);
    if (!plans_.emplace(n, plan).second) return plan;
    order_.push_back(n);
    bytes_ += plan->bytes();
    while (bytes_ > kMostBytes) {
      const auto oldest = plans_.find(order_.front());
      bytes_ -= oldest->second->bytes();
      plans_.erase(oldest);
      order_.pop_front();
    }
    return plan;
  }

 private:
  std::mutex mutex_;
  std::unordered_map<int64_t, std::shared_ptr<const Plan>> plans_;
  std::deque<int64_t> order_;
  int64_t bytes_ = 0;
};

}  // namespace

const FftKernels& fft_kernels() {
  static const FftKernels& kernels = kernels_of_target();
  return kernels;
}

bool has_passes(int64_t n) {
  for (int prime = 2; prime <= kMostRadix; ++prime)
    while (n % prime == 0) n /= prime;
  return n == 1;
}

FftPasses::FftPasses(int64_t n) {
  int64_t left = n;
  for (const int radix : radices_of(n)) {
    Pass pass{radix, left / radix, {}, {}};
    pass.twiddles.reserve(static_cast<size_t>(2 * pass.m * (radix - 1)));
    for (int64_t p = 0; p < pass.m; ++p)
      for (int i = 1; i < radix; ++i) append(pass.twiddles, root(p * i, left));
    for (int i = 0; i < radix; ++i) append(pass.roots, root(i, radix));
    passes.push_back(std::move(pass));
    left /= radix;
  }
}

int64_t FftPasses::bytes() const {
  int64_t total = sizeof *this;
  for (const Pass& pass : passes) total += bytes_of(pass.twiddles) + bytes_of(pass.roots) + int64_t{sizeof(Pass)};
  return total;
}

FftLong::FftLong(int64_t n) {
  const int lanes = fft_kernels().lanes;
  n2 = n;
  for (int64_t d = 1; d * d <= n; ++d)
    if (n % d == 0 && cost_of(d, n / d, lanes) <= cost_of(n1, n2, lanes)) n1 = d, n2 = n / d;
  for (int64_t k = 0; k < n1; ++k) {
    for (int l = 0; l < lanes; ++l) lane_roots.push_back(static_cast<float>(root(k * l % n, n).re));
    for (int l = 0; l < lanes; ++l) lane_roots.push_back(static_cast<float>(root(k * l % n, n).im));
  }
  while ((int64_t{1} << 2 * shift) < n) ++shift;
  for (int64_t e = 0; e < n; e += int64_t{1} << shift) append(coarse_roots, root(e, n));
  for (int64_t e = 0; e < int64_t{1} << shift; ++e) append(fine_roots, root(e % n, n));
  first = fft_plan<FftPasses>(n1);
  second = fft_plan<FftPasses>(n2);
}

int64_t FftLong::bytes() const {
  return int64_t{sizeof *this} + bytes_of(lane_roots) + bytes_of(coarse_roots) + bytes_of(fine_roots);
}

FftChirp::FftChirp(int64_t n) : m(smooth_length(2 * n - 1)) {
  std::vector<float> around(static_cast<size_t>(2 * m));
  int64_t square = 0;  // k^2 modulo 2 n
  for (int64_t k = 0; k < n; ++k) {
    const Root w = root(square, 2 * n);
    append(chirp, w);
    for (const int64_t at : {k, (m - k) % m}) {
      around[static_cast<size_t>(2 * at)] = static_cast<float>(w.re / static_cast<double>(m));
      around[static_cast<size_t>(2 * at + 1)] = static_cast<float>(-w.im / static_cast<double>(m));
    }
    square = (square + 2 * k + 1) % (2 * n);
  }
  spectrum.resize(around.size());
  const FftLines lines{around.data(), 1, m};
  Fft(m, false, 1.0f, {1, false}).run(lines, {spectrum.data(), 1, m}, 1);
}

int64_t FftChirp::bytes() const { return int64_t{sizeof *this} + bytes_of(chirp) + bytes_of(spectrum); }

FftHalf::FftHalf(int64_t n) {
  for (int64_t k = 0; k <= n / 2; ++k) append(roots, root(k, n));
}

int64_t FftHalf::bytes() const { return int64_t{sizeof *this} + bytes_of(roots); }

template <class Plan>
std::shared_ptr<const Plan> fft_plan(int64_t n) {
  static auto* const cache = new Cache<Plan>;  // leaked: threads may ask while the process ends
  return cache->get(n);
}
template std::shared_ptr<const FftPasses> fft_plan(int64_t n);
template std::shared_ptr<const FftLong> fft_plan(int64_t n);
template std::shared_ptr<const FftChirp> fft_plan(int64_t n);
template std::shared_ptr<const FftHalf> fft_plan(int64_t n);

}  // namespace plait::cpu
