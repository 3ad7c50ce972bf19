// Products of bfloat16 by AVX512_BF16; compiled for every instruction set, empty for the others.
#include "backends/cpu/gemm_kernels.h"

#if defined(__AVX512BF16__)
#include "backends/cpu/simd/vec.h"
#include "backends/cpu/targets/gemm_pack.h"

#if !defined(__clang__)
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#endif

namespace plait::cpu::PLAIT_TARGET {
namespace {

constexpr int kRows = 8;

void tile(int64_t depth, const void* a_memory, const void* b_memory, void* c_memory, int64_t c_stride, bool add) {
  const auto* a = static_cast<const int32_t*>(a_memory);  // a pair of elements each
  const auto* b = static_cast<const char*>(b_memory);
  auto* c = static_cast<float*>(c_memory);
  __m512 sum[kRows][2];
#pragma GCC unroll 8
  for (int i = 0; i < kRows; ++i) sum[i][0] = sum[i][1] = _mm512_setzero_ps();
  for (int64_t p = 0; p < depth; ++p) {
    const __m512bh b0 = (__m512bh)_mm512_loadu_si512(b), b1 = (__m512bh)_mm512_loadu_si512(b + 64);
#pragma GCC unroll 8
    for (int i = 0; i < kRows; ++i) {
      __m512i pair = _mm512_set1_epi32(a[i]);
#if defined(__clang__)
      asm("" : "+v"(pair));  // clang 16 crashes when the product may read the pair from memory by itself
#endif
      const __m512bh x = (__m512bh)pair;
      sum[i][0] = _mm512_dpbf16_ps(sum[i][0], x, b0);
      sum[i][1] = _mm512_dpbf16_ps(sum[i][1], x, b1);
    }
    a += kRows;
    b += 128;
  }
#pragma GCC unroll 8
  for (int i = 0; i < kRows; ++i) {
    float* row = c + i * c_stride;
    if (add) {
      sum[i][0] = _mm512_add_ps(sum[i][0], _mm512_loadu_ps(row));
      sum[i][1] = _mm512_add_ps(sum[i][1], _mm512_loadu_ps(row + 16));
    }
    _mm512_storeu_ps(row, sum[i][0]);
    _mm512_storeu_ps(row + 16, sum[i][1]);
  }
}

}  // namespace

void add_gemm_bf16_kernels(GemmKernels& table) {
  table.bf16 = {panels<PackPairs, kRows>(), panels<PackPairs, 32>(), 2, tile};
}

}  // namespace plait::cpu::PLAIT_TARGET
#endif
