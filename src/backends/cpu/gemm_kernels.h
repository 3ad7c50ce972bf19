// The inner loops of dense products: one table of functions per instruction set.
//
// Only plain declarations here: this header is seen by sources of every instruction set.
#pragma once

#include <cstdint>

namespace plait::cpu {

/// Panels that an operand is packed into, `width` rows each: within a panel all rows of a step (of a pair of steps) lie
/// together. Rows that are missing in the last panel, and an odd last step, are zero.
struct GemmPanels {
  /// Elements already have the tile's type. `from` is step 0 of row 0; `stride` counts bytes.
  using Pack = void (*)(void* to, const void* from, int64_t stride, int64_t count, int64_t depth);

  int width = 0;
  Pack along = nullptr;  // steps of a row lie side by side, rows are `stride` apart
  Pack across = nullptr;  // rows of a step lie side by side, steps are `stride` apart
};

/// One tile of a product: a.width x b.width results. Operands are packed: `a` holds a.width elements for each step of the
/// depth, `b` b.width; with `pair` 2 the elements of two neighbouring steps lie together, and depth counts pairs.
struct GemmTile {
  GemmPanels a, b;
  int pair = 1;
  /// c[i * c_stride + j] = (add: c[...] +) sum over depth of a[.][i] * b[.][j], for a whole tile.
  void (*run)(int64_t depth, const void* a, const void* b, void* c, int64_t c_stride, bool add) = nullptr;
};

/// Element kinds that vectors are read from in memory.
enum class GemvType : uint8_t { f32, f64, f16, bf16, count_ };

struct GemmKernels {
  GemmTile f32, f64, bf16;  // bf16: float sums of bfloat16 products; absent (run null) where the machine has none

  void (*widen_f16)(float* to, const uint16_t* from, int64_t n) = nullptr;
  void (*widen_bf16)(float* to, const uint16_t* from, int64_t n) = nullptr;

  /// y[j] = sum over p < depth of x[p] * b[j * stride + p], for j < n. x and y are float (double for f64).
  void (*dots[static_cast<int>(GemvType::count_)])(void* y, const void* x, const void* b, int64_t stride, int64_t depth,
                                                   int64_t n) = {};
  /// y[j] = sum over p < depth of x[p] * b[p * stride + j], for j < n.
  void (*combine[static_cast<int>(GemvType::count_)])(void* y, const void* x, const void* b, int64_t stride,
                                                      int64_t depth, int64_t n) = {};

  /// y[i] = sum over k < taps of x[k][i] * w[k][i], for i < n.
  void (*weighted_sum)(float* y, const float* const* x, const float* const* w, int64_t taps, int64_t n) = nullptr;
};

const GemmKernels& gemm_kernels();

namespace portable {
void add_gemm_kernels(GemmKernels& table);
}
#if defined(__x86_64__)
namespace avx2 {
void add_gemm_kernels(GemmKernels& table);
}
namespace avx512 {
void add_gemm_kernels(GemmKernels& table);
}
namespace avx512bf16 {
void add_gemm_bf16_kernels(GemmKernels& table);
}
#endif

}  // namespace plait::cpu
