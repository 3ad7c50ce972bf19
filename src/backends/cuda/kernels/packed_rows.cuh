// out = x w^T for up to 32 rows of x, all of 16-bit floats, by tensor cores: each packed word is read once, 16 bytes at a time and
// ahead of need, and unpacked in registers to numbers that 16 bits hold exactly. Sums are float32; scales and biases, too, meet sums.
//
// A warp multiplies 16 rows of w by all rows of x. Warps of a block share the 16 rows and take every so manieth stretch of them;
// their sums are added in one order at the end. In a step of 32 numbers lane (g, part) has eight codes of row g and of row g + 8,
// those from 8 * part on, and the same eight columns of row g of x: which columns meet in which of the two products of a step is
// free, as long as both operands agree (eight_codes, and columns_of).
#pragma once

#include <bit>

#include "backends/cuda/kernels/element.cuh"
#include "backends/cuda/kernels/packed.h"
#include "backends/cuda/kernels/packed_codes.h"
#include "backends/cuda/kernels/packed_meeting.cuh"

namespace plait::cuda {

inline constexpr int kWarps = kThreads / 32;
inline constexpr int kTileRows = 16;

/// A stretch of a row, which a warp takes at once: whole groups, 64 to 128 bytes.
template <Codes C, int B>
struct Stretch {
  static constexpr int kCodes = B >= 5 || C == Codes::nvfp4 ? 128 : 256;
  static constexpr int kSteps = kCodes / 32;
  static constexpr int kWords = kCodes * B / 32;
  static constexpr int kStride = (kWords / 4 | 1) * 4;  // an odd number of 16 bytes: rows lie in other banks
  static constexpr int kGroups = kCodes / (C == Codes::nvfp4 ? 16 : 32);  // at most
  static constexpr int kScales = kTileRows * kGroups / 32;  // of a lane
  static constexpr int kAhead = 3;  // stretches in shared memory
  static constexpr int kRingWords = kAhead * kTileRows * kStride;
  static constexpr int kScaleWords = kTileRows * kGroups * (C == Codes::affine ? 2 : 1);
  static constexpr int kWarpWords = kRingWords + kScaleWords;
  static constexpr int kBytes = kWarps * kWarpWords * 4;
};

/// What a launch adds to FewRows.
struct RowsPlan {
  int stretches = 0;  // of a row
  int slices = 1;  // warps that share 16 rows
  int copy_words = 1;  // of a copy to shared memory: 4, 2 or 1
  int groups_shift = 0;  // groups of a stretch, as a power of two
};

/// Copies so many words to shared memory when it suits the hardware, or zeros.
template <int Words>
__device__ inline void copy_ahead(uint32_t* to, const uint32_t* from, bool inside) {
  const auto at = static_cast<uint32_t>(__cvta_generic_to_shared(to));
  if constexpr (Words == 4)
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(at), "l"(from), "r"(inside ? 16 : 0) : "memory");
  else
    asm volatile("cp.async.ca.shared.global [%0], [%1], %3, %2;" ::"r"(at), "l"(from), "r"(inside ? Words * 4 : 0),
                 "n"(Words * 4)
                 : "memory");
}
__device__ inline void end_group_of_copies() { asm volatile("cp.async.commit_group;" ::: "memory"); }
template <int N>
__device__ inline void wait_but_for() {
  asm volatile("cp.async.wait_group %0;" ::"n"(N) : "memory");
}

/// c += a b: a (16, 16), b (16, 8), as mma.m16n8k16 spreads them over a warp.
template <class T>
__device__ inline void multiply_tile(float (&c)[4], uint32_t a0, uint32_t a1, uint32_t a2, uint32_t a3, uint32_t b0,
                                     uint32_t b1) {
  if constexpr (std::is_same_v<T, __half>)
    asm("mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
        : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
        : "r"(a0), "r"(a1), "r"(a2), "r"(a3), "r"(b0), "r"(b1));
  else
    asm("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
        : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
        : "r"(a0), "r"(a1), "r"(a2), "r"(a3), "r"(b0), "r"(b1));
}

/// One warp's way through its stretches of 16 rows: what it has read, and reads next.
template <class T, Codes C, int B>
struct Reader {
  using S = Stretch<C, B>;
  using Scale = std::conditional_t<C == Codes::affine, uint16_t, uint8_t>;
  const FewRows& p;
  const RowsPlan& plan;
  const Operands& at;
  int64_t row0;
  int lane;
  uint32_t* ring;
  float* scales;  // of the stretch in hand: kTileRows times groups, then biases
  Scale next_scales[S::kScales], next_biases[S::kScales];

  /// Rows and columns outside of the matrix are zeros.
  template <int Words>
  __device__ void copy_stretch(int stretch, uint32_t* to) const {
    constexpr int kPieces = S::kWords / Words;
    const auto* const words = reinterpret_cast<const uint32_t*>(at.words);
#pragma unroll
    for (int i = lane; i < kTileRows * kPieces; i += 32) {
      const int r = i / kPieces, word = i % kPieces * Words;
      const int64_t row = row0 + r, from = static_cast<int64_t>(stretch) * S::kWords + word;
      const bool inside = row < p.n && from < p.words_row;
      copy_ahead<Words>(to + r * S::kStride + word, inside ? words + row * p.words_row + from : words, inside);
    }
  }
  __device__ void fetch(int stretch, int slot) const {
    uint32_t* const to = ring + slot * kTileRows * S::kStride;
    if (stretch >= plan.stretches) {
    } else if (plan.copy_words == 4) {
      copy_stretch<4>(stretch, to);
    } else if (plan.copy_words == 2) {
      copy_stretch<2>(stretch, to);
    } else {
      copy_stretch<1>(stretch, to);
    }
    end_group_of_copies();
  }

  __device__ void load_scales(int stretch) {
#pragma unroll
    for (int j = 0; j < S::kScales; ++j) {
      const int i = lane + 32 * j, r = i >> plan.groups_shift;
      const int64_t row = row0 + r;
      const int64_t group = (static_cast<int64_t>(stretch) << plan.groups_shift) + (i - (r << plan.groups_shift));
      const bool inside = stretch < plan.stretches && r < kTileRows && row < p.n && group < p.groups_row;
      next_scales[j] = inside ? reinterpret_cast<const Scale*>(at.scales)[row * p.groups_row + group] : Scale{0};
      if constexpr (C == Codes::affine)
        next_biases[j] = inside ? reinterpret_cast<const Scale*>(at.biases)[row * p.groups_row + group] : Scale{0};
    }
  }
  __device__ static float scale_number(Scale x) {
    if constexpr (C != Codes::affine)
      return packed::scale_of_byte(C, x);
    else if constexpr (std::is_same_v<T, __half>)
      return __half2float(__ushort_as_half(x));
    else
      return __bfloat162float(__ushort_as_bfloat16(x));
  }
  __device__ void store_scales() const {
    const int count = kTileRows << plan.groups_shift;
#pragma unroll
    for (int j = 0; j < S::kScales; ++j) {
      const int i = lane + 32 * j;
      if (i >= count) continue;
      scales[i] = scale_number(next_scales[j]);
      if constexpr (C == Codes::affine) scales[count + i] = scale_number(next_biases[j]);
    }
  }
};

/// Eight columns of a row of x from k on, zeros behind its end.
__device__ inline uint4 columns_of(const FewRows& p, const Operands& at, int64_t row, int64_t k) {
  if (row >= p.m || k >= p.k) return {0, 0, 0, 0};
  return __ldg(reinterpret_cast<const uint4*>(at.x + (row * p.x_row + k) * 2));
}

template <class T, Codes C, int B, int NT>
__global__ void __launch_bounds__(kThreads, 2)
    multiply_rows(const __grid_constant__ FewRows p, const __grid_constant__ RowsPlan plan) {
#if __CUDA_ARCH__ >= 800
  using S = Stretch<C, B>;
  constexpr bool kAffine = C == Codes::affine;
  constexpr int kXSteps = S::kSteps < 8 / NT ? S::kSteps : 8 / NT;  // whose columns of x are in registers
  constexpr uint32_t kOnes = std::is_same_v<T, __half> ? 0x3C003C00 : 0x3F803F80;
  extern __shared__ uint4 shared[];
  const int warp = threadIdx.x / 32, lane = threadIdx.x % 32, g = lane / 4, part = lane % 4;
  uint32_t* const ring = reinterpret_cast<uint32_t*>(shared) + warp * S::kWarpWords;
  float* const scales = reinterpret_cast<float*>(ring + S::kRingWords);
  const int slice = warp % plan.slices, tiles_at_once = kWarps / plan.slices;
  const int64_t tiles = (p.n + kTileRows - 1) / kTileRows, blocks = (tiles + tiles_at_once - 1) / tiles_at_once;
  const int groups = 1 << plan.groups_shift;

  for (int64_t item = blockIdx.x; item < blocks * p.meeting.count; item += gridDim.x) {
    const int64_t product = item / blocks;
    const int64_t row0 = ((item - product * blocks) * tiles_at_once + warp / plan.slices) * kTileRows;
    const Operands at = operands_of(p, product);
    float sums[NT][4] = {};
    Reader<T, C, B> reader{p, plan, at, row0, lane, ring, scales, {}, {}};
    const int end = row0 < p.n && at.x ? plan.stretches : 0;
    if (slice < end) {
#pragma unroll
      for (int ahead = 0; ahead + 1 < S::kAhead; ++ahead) reader.fetch(slice + ahead * plan.slices, ahead);
      reader.load_scales(slice);
    }
    int slot = 0;
    for (int stretch = slice; stretch < end; stretch += plan.slices) {
      const int64_t k0 = static_cast<int64_t>(stretch) * S::kCodes + 8 * part;
      uint4 x[NT][kXSteps];
      const auto load_x = [&](int first) {
#pragma unroll
        for (int t = 0; t < NT; ++t)
#pragma unroll
          for (int s = 0; s < kXSteps; ++s) x[t][s] = columns_of(p, at, 8 * t + g, k0 + (first + s) * 32);
      };
      load_x(0);
      wait_but_for<S::kAhead - 2>();
      __syncwarp();  // all lanes' copies are there, and all are done with the stretch before
      reader.store_scales();
      reader.load_scales(stretch + plan.slices);
      const int free_slot = slot == 0 ? S::kAhead - 1 : slot - 1;
      reader.fetch(stretch + (S::kAhead - 1) * plan.slices, free_slot);
      __syncwarp();
      const uint32_t* const words = ring + slot * kTileRows * S::kStride;
      slot = slot == S::kAhead - 1 ? 0 : slot + 1;

      float products[NT][4] = {}, x_sums[NT][4] = {};  // of a group
      for (int first = 0; first < S::kSteps; first += kXSteps) {
        if (first > 0) load_x(first);
#pragma unroll
        for (int s = 0; s < kXSteps; ++s) {
          const int step = first + s;
          uint32_t a[2][4];  // of rows g and g + 8
#pragma unroll
          for (int half = 0; half < 2; ++half) {
            const int r = g + 8 * half;
            uint32_t pairs[4];
            eight_codes<B>(words + r * S::kStride + step * B, part, pairs);
#pragma unroll
            for (int i = 0; i < 4; ++i) a[half][i] = numbers_of<T, C, B>(pairs[i]);
            if constexpr (C == Codes::nvfp4) {  // a number times its scale has 6 bits
              const uint32_t scale = twice<T>(scales[r * groups + 2 * step + part / 2]);
#pragma unroll
              for (int i = 0; i < 4; ++i) a[half][i] = product_of_pairs<T>(a[half][i], scale);
            }
          }
#pragma unroll
          for (int t = 0; t < NT; ++t) {
            const uint4 v = x[t][s];
            const uint32_t b0 = __byte_perm(v.x, v.z, 0x5410), b1 = __byte_perm(v.x, v.z, 0x7632);
            const uint32_t b2 = __byte_perm(v.y, v.w, 0x5410), b3 = __byte_perm(v.y, v.w, 0x7632);
            multiply_tile<T>(products[t], a[0][0], a[1][0], a[0][1], a[1][1], b0, b1);
            multiply_tile<T>(products[t], a[0][2], a[1][2], a[0][3], a[1][3], b2, b3);
            if constexpr (kAffine) {
              multiply_tile<T>(x_sums[t], kOnes, kOnes, kOnes, kOnes, b0, b1);
              multiply_tile<T>(x_sums[t], kOnes, kOnes, kOnes, kOnes, b2, b3);
            }
          }
          if (C == Codes::nvfp4 || ((step + 1) * 32 & (p.group - 1)) != 0) continue;
          const int group = (step << plan.groups_shift) / S::kSteps;
#pragma unroll
          for (int half = 0; half < 2; ++half) {
            const int at_scale = (g + 8 * half) * groups + group;
            const float scale = scales[at_scale];
            const float bias = kAffine ? scales[kTileRows * groups + at_scale] : 0.0f;
#pragma unroll
            for (int t = 0; t < NT; ++t)
#pragma unroll
              for (int j = 2 * half; j < 2 * half + 2; ++j) {
                sums[t][j] = __fmaf_rn(scale, products[t][j], sums[t][j]);
                if constexpr (kAffine) sums[t][j] = __fmaf_rn(bias, x_sums[t][j], sums[t][j]);
                products[t][j] = x_sums[t][j] = 0;
              }
          }
        }
      }
      if constexpr (C == Codes::nvfp4) {
#pragma unroll
        for (int t = 0; t < NT; ++t)
#pragma unroll
          for (int j = 0; j < 4; ++j) sums[t][j] += products[t][j];
      }
    }
    wait_but_for<0>();
    __syncwarp();

    // Slices are added in their order, by the warp of the first.
    float* const mine = reinterpret_cast<float*>(ring);
#pragma unroll
    for (int t = 0; t < NT; ++t)
#pragma unroll
      for (int j = 0; j < 4; ++j) mine[(t * 4 + j) * 32 + lane] = sums[t][j];
    __syncthreads();
    if (slice == 0 && row0 < p.n) {
#pragma unroll
      for (int t = 0; t < NT; ++t)
#pragma unroll
        for (int j = 0; j < 4; ++j) {
          float sum = sums[t][j];
          for (int other = 1; other < plan.slices; ++other)
            sum += mine[other * S::kWarpWords + (t * 4 + j) * 32 + lane];
          const int64_t row = row0 + g + 8 * (j / 2), m = 8 * t + 2 * part + j % 2;
          if (row >= p.n || m >= p.m) continue;
          T* const out = reinterpret_cast<T*>(p.out) + (product * p.m + m) * p.n + row;
          if constexpr (std::is_same_v<T, __half>)
            *out = __float2half_rn(sum);
          else
            *out = __float2bfloat16_rn(sum);
        }
    }
    __syncthreads();
  }
#endif
}

template <class T, Codes C, int B, int NT>
void launch_rows(const Work& work, const FewRows& p) {
  using S = Stretch<C, B>;
  RowsPlan plan;
  plan.stretches = static_cast<int>((p.k + S::kCodes - 1) / S::kCodes);
  plan.groups_shift = std::countr_zero(static_cast<unsigned>(S::kCodes / p.group));
  // More rows of x are read once for several tiles of 16 rows of w side by side.
  const int most_slices = NT == 1 ? kWarps : kWarps / 2;
  while (plan.slices < most_slices && plan.slices < plan.stretches) plan.slices *= 2;
  uintptr_t bytes = reinterpret_cast<uintptr_t>(p.first.words) | static_cast<uintptr_t>(p.words_row * 4);
  for (int axis = 0; axis < p.meeting.rank; ++axis) bytes |= static_cast<uintptr_t>(p.meeting.words[axis]);
  plan.copy_words = bytes % 16 == 0 ? 4 : bytes % 8 == 0 ? 2 : 1;
  const auto kernel = multiply_rows<T, C, B, NT>;
  check_cuda(cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, S::kBytes), "quantized_matmul");
  const int64_t rows_of_block = kTileRows * (kWarps / plan.slices);
  const int64_t blocks = (p.n + rows_of_block - 1) / rows_of_block * p.meeting.count;
  kernel<<<blocks_for(blocks, 1), kThreads, S::kBytes, work.stream()>>>(p, plan);
  work.launched("quantized_matmul");
}

template <class T>
void launch_rows_of(const Work& work, const packed::Format& format, const FewRows& p) {
  dispatch_format(format, [&]<Codes C, int B>() {
    if (p.m <= 8) return launch_rows<T, C, B, 1>(work, p);
    if (p.m <= 16) return launch_rows<T, C, B, 2>(work, p);
    launch_rows<T, C, B, 4>(work, p);
  });
}

}  // namespace plait::cuda
