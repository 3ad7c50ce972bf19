// The inner loops of dense products: one table of functions per instruction set.
//
// Only plain declarations here: this header is seen by sources of every instruction set.
#pragma once

#include <cstdint>

namespace plait::cpu {

/// One tile of a product. Operands are packed: `a` holds `rows` elements for each step of the depth, `b` `columns`; with
/// `pair` 2 the elements of two neighbouring steps lie together, and depth counts pairs.
struct GemmTile {
  int rows = 0;
  int columns = 0;
  int pair = 1;
  /// c[i * c_stride + j] = (add: c[...] +) sum over depth of a[.][i] * b[.][j], for a whole tile.
  void (*run)(int64_t depth, const void* a, const void* b, void* c, int64_t c_stride, bool add) = nullptr;
};

/// Element kinds that vectors are read from in memory.
enum class GemvType : uint8_t { f32, f64, f16, bf16, count_ };

struct GemmKernels {
  GemmTile f32, f64, bf16;  // bf16: float sums of bfloat16 products; absent (rows 0) where the machine has none

  /// to[j][i] = from[i][j] for i < rows, j < columns; strides in elements between the rows of each.
  void (*transpose32)(uint32_t* to, int64_t to_stride, const uint32_t* from, int64_t from_stride, int64_t rows,
                      int64_t columns) = nullptr;
  void (*transpose64)(uint64_t* to, int64_t to_stride, const uint64_t* from, int64_t from_stride, int64_t rows,
                      int64_t columns) = nullptr;
  /// to[2 j] = even[j], to[2 j + 1] = odd[j]
  void (*interleave16)(uint16_t* to, const uint16_t* even, const uint16_t* odd, int64_t n) = nullptr;
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
