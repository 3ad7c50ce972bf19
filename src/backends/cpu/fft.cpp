#include "backends/cpu/fft.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "backends/cpu/scratch.h"
#include "base/parallel.h"

namespace plait::cpu {
namespace {

constexpr int64_t kLeastLong = 64;            // shorter lines have no halves that fill vectors
constexpr int64_t kMostTogether = 256;  // longer lines fit the cache better one by one, unless they are neighbours
constexpr int64_t kMostNeighbours = 1 << 16;  // beyond, the lanes' scratch is too large for any cache
constexpr int64_t kSpread = 1 << 15;  // elements from which one line goes to several threads
constexpr int64_t kBlockBytes = 1 << 18;  // scratch of a block of columns

struct Planes {
  const float *re, *im;
};
struct Buffer {
  float *re, *im;
};

Buffer take(Scratch& scratch, int64_t count) { return {scratch.take<float>(count), scratch.take<float>(count)}; }

/// All passes over rows of `row` floats. `from` may be `b`; the result is where the last pass left it.
Planes transformed(const FftPasses& plan, void (*pass)(const FftPass&), Planes from, int64_t from_row, int64_t row,
                   Buffer a, Buffer b) {
  int64_t joined = row;
  for (const FftPasses::Pass& p : plan.passes) {
    pass({p.radix, p.m, joined, joined == row ? from_row : joined, p.twiddles.data(), p.roots.data(), from.re, from.im,
          a.re, a.im});
    from = {a.re, a.im};
    std::swap(a, b);
    joined *= p.radix;
  }
  return from;
}

int64_t whole(int64_t n, int64_t lanes) { return (n + lanes - 1) / lanes * lanes; }

/// Columns of a matrix of so many rows to do at a time.
int64_t block_of(int64_t rows, int64_t columns, int64_t lanes) {
  const int64_t fit = kBlockBytes / (16 * rows * lanes) * lanes;
  return std::clamp(fit, lanes, columns);
}

}  // namespace

Fft::Fft(int64_t n, bool inverse, float scale, FftBatch batch)
    : kernels_(fft_kernels()), n_(n), inverse_(inverse), scale_(scale) {
  const bool many = batch.lines >= kernels_.lanes / 2;
  if (!has_passes(n)) {
    chirp_ = fft_plan<FftChirp>(n);
    forth_ = std::make_unique<Fft>(chirp_->m, false, 1.0f, FftBatch{1, false});
    back_ = std::make_unique<Fft>(chirp_->m, true, 1.0f, FftBatch{1, false});
  } else if (n < kLeastLong || (many && n <= (batch.neighbours ? kMostNeighbours : kMostTogether))) {
    passes_ = fft_plan<FftPasses>(n);
  } else {
    long_ = fft_plan<FftLong>(n);
  }
}

bool Fft::spreads() const { return chirp_ ? chirp_->m >= kSpread : long_ && n_ >= kSpread; }

void Fft::run(const FftLines& from, const FftLines& to, int64_t lines) const {
  if (passes_) return run_together(from, to, lines);
  return chirp_ ? run_chirp(from, to) : run_long(from, to);
}

void Fft::run_together(const FftLines& from, const FftLines& to, int64_t lines) const {
  const int64_t lanes = kernels_.lanes;
  Scratch scratch;
  const Buffer a = take(scratch, n_ * lanes), b = take(scratch, n_ * lanes);
  kernels_.split({from.data, from.step, from.next, n_, lines}, b.re, b.im, lanes, inverse_);
  const Planes done = transformed(*passes_, kernels_.pass, {b.re, b.im}, lanes, lanes, a, b);
  kernels_.join(done.re, done.im, lanes, {to.data, to.step, to.next, n_, lines}, inverse_, scale_);
}

// x[j1 n2 + j2] and y[k2 n1 + k1]: first over j1 for each column j2, then over j2 for each k1.
void Fft::run_long(const FftLines& from, const FftLines& to) const {
  const FftLong& plan = *long_;
  const int64_t lanes = kernels_.lanes, n1 = plan.n1, n2 = plan.n2, row = whole(n1, lanes);
  Scratch scratch;
  const Buffer middle = take(scratch, n2 * row);
  // One chunk where the line does not go to several threads.
  const auto columns = [&](int64_t rows, int64_t count, FunctionRef<void(int64_t first, int64_t n)> body) {
    const int64_t block = block_of(rows, whole(count, lanes), lanes), blocks = (count + block - 1) / block;
    parallel_for(blocks, spreads() ? 1 : blocks, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) body(i * block, std::min(block, whole(count - i * block, lanes)));
    });
  };
  columns(n1, n2, [&](int64_t first, int64_t block) {
    Scratch own;
    const Buffer a = take(own, n1 * block), b = take(own, n1 * block);
    kernels_.split({from.data + 2 * first * from.step, n2 * from.step, from.step, n1, std::min(block, n2 - first)},
                   b.re, b.im, block, inverse_);
    const Planes half = transformed(*plan.first, kernels_.pass, {b.re, b.im}, block, block, a, b);
    kernels_.twist({half.re, half.im, block, first, n1, n2, plan.lane_roots.data(), plan.coarse_roots.data(),
                    plan.fine_roots.data(), plan.shift, middle.re, middle.im, row});
  });
  columns(n2, n1, [&](int64_t first, int64_t block) {
    Scratch own;
    const Buffer a = take(own, n2 * block), b = take(own, n2 * block);
    const Planes done =
        transformed(*plan.second, kernels_.pass, {middle.re + first, middle.im + first}, row, block, a, b);
    kernels_.join(done.re, done.im, block,
                  {to.data + 2 * first * to.step, n1 * to.step, to.step, n2, std::min(block, n1 - first)}, inverse_,
                  scale_);
  });
}

// y[k] = w[k] sum_j (x[j] w[j]) / w[k - j], w the chirp. The inverse is the conjugate of the conjugate's transform.
void Fft::run_chirp(const FftLines& from, const FftLines& to) const {
  const FftChirp& plan = *chirp_;
  Scratch scratch;
  float* x = scratch.take<float>(2 * plan.m);
  float* z = scratch.take<float>(2 * plan.m);
  kernels_.multiply({from.data, from.step, inverse_, plan.chirp.data(), x, 1, false, 1.0f, n_});
  std::memset(x + 2 * n_, 0, static_cast<size_t>(2 * (plan.m - n_)) * sizeof(float));
  forth_->run({x, 1, 0}, {z, 1, 0}, 1);
  kernels_.multiply({z, 1, false, plan.spectrum.data(), x, 1, false, 1.0f, plan.m});
  back_->run({x, 1, 0}, {z, 1, 0}, 1);
  kernels_.multiply({z, 1, false, plan.chirp.data(), to.data, to.step, inverse_, scale_, n_});
}

}  // namespace plait::cpu
