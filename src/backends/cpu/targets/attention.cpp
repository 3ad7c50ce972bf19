#include "backends/cpu/attention_kernels.h"
#include "backends/cpu/simd/math.h"

#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"  // g++ 12 warns of its own _mm512_undefined_ps

namespace plait::cpu::PLAIT_TARGET {
namespace {

using V = Vec<float>;
constexpr int kL = kLanes<float>;
static_assert(kScoreLanes % kL == 0);

// What lies behind the row up to whole vectors counts for nothing.
PLAIT_SIMD int64_t filled(float* x, int64_t n) {
  const int64_t end = (n + kL - 1) / kL * kL;
  for (int64_t j = n; j < end; ++j) x[j] = -__builtin_inff();
  return end;
}

float weigh(float* x, int64_t n, float& most) {
  const int64_t end = filled(x, n);
  V largest = splat<V>(most);
  for (int64_t j = 0; j < end; j += kL) {
    const V v = load(x + j);
    largest = select(v > largest, v, largest);
  }
  for (int i = 0; i < kL; ++i)
    if (largest[i] > most) most = largest[i];
  V sums{};
  for (int64_t j = 0; j < end; j += kL) {
    const V v = exp(load(x + j) - most);
    store(x + j, v);
    sums += v;
  }
  float sum = 0;
  for (int i = 0; i < kL; ++i) sum += sums[i];
  return sum;
}

void weigh_back(float* x, float* t, int64_t n, float most, float total, float delta, float scale) {
  const int64_t end = filled(x, n);
  const float share = 1 / total;
  for (int64_t j = 0; j < end; j += kL) {
    const V p = exp(load(x + j) - most) * share;
    store(x + j, p);
    store(t + j, p * (load(t + j) - delta) * scale);
  }
}

void scale_add(float* y, const float* x, int64_t n, float factor) {
  int64_t j = 0;
  for (; j + kL <= n; j += kL) store(y + j, fma(load(y + j), splat<V>(factor), load(x + j)));
  for (; j < n; ++j) y[j] = y[j] * factor + x[j];
}

}  // namespace

const AttentionKernels kAttentionKernels = {weigh, weigh_back, scale_add};

}  // namespace plait::cpu::PLAIT_TARGET
