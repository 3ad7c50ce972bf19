// Rows of attention's scores, once per instruction set.
//
// Only plain declarations here: this header is seen by sources of every instruction set.
#pragma once

#include <cstdint>

namespace plait::cpu {

/// Rows are read and written up to a multiple of so many elements.
inline constexpr int64_t kScoreLanes = 16;

struct AttentionKernels {
  /// most = max(most, x[0], ..., x[n - 1]); x[j] = exp(x[j] - most). Returns the sum.
  float (*weigh)(float* x, int64_t n, float& most) = nullptr;
  /// x[j] = exp(x[j] - most) / total; t[j] = x[j] * (t[j] - delta) * scale.
  void (*weigh_back)(float* x, float* t, int64_t n, float most, float total, float delta, float scale) = nullptr;
  /// y[j] = factor * y[j] + x[j].
  void (*scale_add)(float* y, const float* x, int64_t n, float factor) = nullptr;
};

/// The table of the instruction set in use.
const AttentionKernels& attention_kernels();

#define PLAIT_ATTENTION(target)                    \
  namespace target {                               \
  extern const AttentionKernels kAttentionKernels; \
  }
PLAIT_ATTENTION(portable)
#if defined(__x86_64__)
PLAIT_ATTENTION(avx2)
PLAIT_ATTENTION(avx512)
#endif
#undef PLAIT_ATTENTION

}  // namespace plait::cpu
