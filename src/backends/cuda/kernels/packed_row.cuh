// out = x w^T for one row of x, of 16-bit floats: bound by how fast the packed words arrive, so little is done for each. Words go
// from memory to registers, 32 codes of a lane at a time and two or three turns ahead, and from there to tensor cores.
//
// A warp multiplies 16 rows of w. In a turn of 256 columns lane (g, part) has columns 128 * j + 32 * part to + 31 of rows g and
// g + 8, for j = 0 and 1. One row of x needs one of the eight columns that a product has on its other side: each of them takes the
// columns of one group of w and zeros elsewhere, so that the sums of all groups come apart, and scales meet sums. Which columns
// meet in which product is free, as long as both operands agree: eight_codes, and stage_columns.
#pragma once

#include <bit>

#include "backends/cuda/kernels/packed_rows.cuh"

namespace plait::cuda {

/// Columns of a turn, and its two parts of 128 that a lane has 32 of.
inline constexpr int kTurn = 256, kStretches = 2;
inline constexpr int kChunks = kTurn / 8;  // of eight columns

/// What a launch adds to FewRows.
struct RowPlan {
  int turns = 0;
  int slices = 1;  // warps that share 16 rows
  int group_shift = 0;  // columns of a group, as a power of two
  int sums = 0;  // of x: one for each group of a turn
  bool pairs = false;  // scales can be read two at a time
};

/// The words of 32 codes, which begin with an address that suits the widest of the loads.
template <int B>
struct CodeWords {
  static constexpr int kWide = B % 4 == 0 ? 4 : B % 2 == 0 ? 2 : 1;
  uint32_t of[B];
  /// Each word is read once: it need not stay in the cache of the multiprocessor.
  __device__ void load(const uint32_t* from) {
#pragma unroll
    for (int i = 0; i < B; i += kWide) {
      if constexpr (kWide == 4)
        asm volatile("ld.global.nc.L1::no_allocate.v4.u32 {%0, %1, %2, %3}, [%4];"
                     : "=r"(of[i]), "=r"(of[i + 1]), "=r"(of[i + 2]), "=r"(of[i + 3])
                     : "l"(from + i));
      else if constexpr (kWide == 2)
        asm volatile("ld.global.nc.L1::no_allocate.v2.u32 {%0, %1}, [%2];"
                     : "=r"(of[i]), "=r"(of[i + 1])
                     : "l"(from + i));
      else
        asm volatile("ld.global.nc.L1::no_allocate.u32 %0, [%1];" : "=r"(of[i]) : "l"(from + i));
    }
  }
};

/// Two neighbouring scales, or biases.
template <class Scale>
struct ScalePair {
  uint32_t bits;
  static constexpr int kBits = 8 * sizeof(Scale);
  __device__ void load(const Scale* from, bool first, bool second, bool at_once) {
    using Both = std::conditional_t<sizeof(Scale) == 2, uint32_t, uint16_t>;
    if (at_once) {
      bits = first ? __ldg(reinterpret_cast<const Both*>(from)) : Both{0};
    } else {
      const uint32_t low = first ? __ldg(from) : Scale{0}, high = second ? __ldg(from + 1) : Scale{0};
      bits = low | high << kBits;
    }
  }
  __device__ Scale operator[](int i) const { return static_cast<Scale>(bits >> (i * kBits)); }
};

/// What a lane reads for a turn: codes of rows g and g + 8, and the scales (and biases) of its two groups of either row.
template <Codes C, int B>
struct Turn {
  using Scale = std::conditional_t<C == Codes::affine, uint16_t, uint8_t>;
  static constexpr int kPairs = C == Codes::nvfp4 ? kStretches : 1;  // of a row: nvfp4 has two scales for 32 codes
  CodeWords<B> words[kStretches][2];
  ScalePair<Scale> scales[2][kPairs];
  ScalePair<Scale> biases[2];
};

/// One row of x in shared memory, in the order in which lanes take it: chunk (s, part) of a stretch has columns 32 * part + 8 * s
/// and on, element i beside element i + 4. Then the sums of its groups, in affine mode.
struct StagedRow {
  uint4* chunks;  // zeros behind the last column; one more chunk of zeros at the end
  float* sums;
};

template <class T>
__device__ inline float number_of_half(uint32_t bits) {
  if constexpr (std::is_same_v<T, __half>) return __half2float(__ushort_as_half(static_cast<uint16_t>(bits)));
  return __bfloat162float(__ushort_as_bfloat16(static_cast<uint16_t>(bits)));
}

template <class T>
__device__ inline float sum_of_pair(uint32_t bits) {
  return number_of_half<T>(bits & 0xFFFF) + number_of_half<T>(bits >> 16);
}

/// By all threads of the block, whose number is a multiple of the chunks of a group.
template <class T, bool kSums>
__device__ void stage_columns(const StagedRow& to, const char* x, int64_t k, const RowPlan& plan) {
  constexpr int kAtOnce = 4;  // loads of a thread that go ahead of what uses them
  const int chunks = plan.turns * kChunks, of_group = 1 << (plan.group_shift - 3);
  for (int first = threadIdx.x; first - static_cast<int>(threadIdx.x) < chunks; first += kAtOnce * kThreads) {
    uint4 v[kAtOnce];
#pragma unroll
    for (int j = 0; j < kAtOnce; ++j) {
      const int i = first + j * kThreads;
      v[j] = {0, 0, 0, 0};
      if (i < chunks && i * int64_t{8} < k) v[j] = __ldg(reinterpret_cast<const uint4*>(x) + i);
    }
#pragma unroll
    for (int j = 0; j < kAtOnce; ++j) {
      const int i = first + j * kThreads;
      if constexpr (kSums) {
        float sum =
            (sum_of_pair<T>(v[j].x) + sum_of_pair<T>(v[j].y)) + (sum_of_pair<T>(v[j].z) + sum_of_pair<T>(v[j].w));
        for (int other = 1; other < of_group; other *= 2) sum += __shfl_xor_sync(~0u, sum, other);
        if (i < chunks && i % of_group == 0) to.sums[i / of_group] = sum;
      }
      if (i >= chunks) continue;
      const int in_stretch = i % 16, part = in_stretch / 4, s = in_stretch % 4;
      to.chunks[i - in_stretch + s * 4 + part] = {
          __byte_perm(v[j].x, v[j].z, 0x5410), __byte_perm(v[j].x, v[j].z, 0x7632), __byte_perm(v[j].y, v[j].w, 0x5410),
          __byte_perm(v[j].y, v[j].w, 0x7632)};
    }
  }
  if (threadIdx.x == 0) to.chunks[chunks] = {0, 0, 0, 0};
}

/// A warp's 16 rows: where lane (g, part) reads, and how it multiplies.
template <class T, Codes C, int B>
struct RowReader {
  using Loaded = Turn<C, B>;
  using Scale = typename Loaded::Scale;
  static constexpr bool kAffine = C == Codes::affine, kNarrow = C == Codes::nvfp4;
  static constexpr bool kFractions = kAffine && has_fractions<T, B>();
  const FewRows& p;
  const RowPlan& plan;
  const uint32_t* words[2];  // of rows g and g + 8; behind the last row, that one
  const Scale *scales[2], *biases[2];
  int g, part;

  __device__ RowReader(const FewRows& p, const RowPlan& plan, const Operands& at, int64_t row0, int lane)
      : p(p), plan(plan), g(lane / 4), part(lane % 4) {
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      const int64_t row = min(row0 + g + 8 * half, p.n - 1);
      words[half] = reinterpret_cast<const uint32_t*>(at.words) + row * p.words_row;
      scales[half] = reinterpret_cast<const Scale*>(at.scales) + row * p.groups_row;
      biases[half] = kAffine ? reinterpret_cast<const Scale*>(at.biases) + row * p.groups_row : nullptr;
    }
  }

  __device__ void load(Loaded& to, int turn) const {
#pragma unroll
    for (int j = 0; j < kStretches; ++j) {
      const int column = turn * kTurn + j * 128 + part * 32;
      const int from = column < p.k ? column : 0;  // behind the end any of the row's words will do: x is zero there
#pragma unroll
      for (int half = 0; half < 2; ++half) {
        to.words[j][half].load(words[half] + from / 32 * B);
        if constexpr (kNarrow) to.scales[half][j].load(scales[half] + from / 16, true, true, plan.pairs);
      }
    }
    if constexpr (!kNarrow) {
      const int group = turn * plan.sums + 2 * part;
      const bool first = 2 * part < plan.sums && group < p.groups_row;
      const bool second = 2 * part + 1 < plan.sums && group + 1 < p.groups_row;
#pragma unroll
      for (int half = 0; half < 2; ++half) {
        to.scales[half][0].load(scales[half] + group, first, second, plan.pairs);
        if constexpr (kAffine) to.biases[half].load(biases[half] + group, first, second, plan.pairs);
      }
    }
  }

  __device__ static float scale_number(Scale x) {
    if constexpr (kAffine)
      return number_of_half<T>(x);
    else
      return packed::scale_of_byte(C, x);
  }

  /// sums[half] += what the turn gives to row g + 8 * half, in the lanes of the groups' columns.
  __device__ void multiply(const Loaded& of, int turn, const StagedRow& x, float (&sums)[2]) const {
    float products[4] = {};  // of rows g and g + 8 with columns 2 * part and 2 * part + 1, a group each
    const int zeros = plan.turns * kChunks;
#pragma unroll
    for (int j = 0; j < kStretches; ++j) {
      const bool mine = kNarrow || (j * 128 + part * 32) >> plan.group_shift == g;
      const uint4* const from = x.chunks + (mine ? turn * kChunks + j * 16 + part : zeros);
      const int step = mine ? 4 : 0;
#pragma unroll
      for (int s = 0; s < 4; ++s) {
        const uint4 b = from[s * step];
        uint32_t a[2][4];
#pragma unroll
        for (int half = 0; half < 2; ++half) {
          uint32_t pairs[4];
          eight_codes<B>(of.words[j][half].of, s, pairs);
#pragma unroll
          for (int i = 0; i < 4; ++i) {
            if constexpr (kFractions)
              a[half][i] = fractions_of<T, B>(pairs[i]);
            else
              a[half][i] = numbers_of<T, C, B>(pairs[i]);
          }
          if constexpr (kNarrow) {  // a number times its scale has 6 bits
            const uint32_t scale = twice<T>(scale_number(of.scales[half][j][s / 2]));
#pragma unroll
            for (int i = 0; i < 4; ++i) a[half][i] = product_of_pairs<T>(a[half][i], scale);
          }
        }
        multiply_tile<T>(products, a[0][0], a[1][0], a[0][1], a[1][1], b.x, b.y);
        multiply_tile<T>(products, a[0][2], a[1][2], a[0][3], a[1][3], b.z, b.w);
      }
    }
    if constexpr (kNarrow) {
      sums[0] += products[0];
      sums[1] += products[2];
    } else {
      float x_sums[2] = {};
      if constexpr (kAffine)
#pragma unroll
        for (int i = 0; i < 2; ++i)
          if (2 * part + i < plan.sums) x_sums[i] = x.sums[turn * plan.sums + 2 * part + i];
#pragma unroll
      for (int half = 0; half < 2; ++half)
#pragma unroll
        for (int i = 0; i < 2; ++i) {
          float scale = scale_number(of.scales[half][0][i]);
          if constexpr (kFractions) scale *= 1 << B;
          sums[half] = __fmaf_rn(scale, products[2 * half + i], sums[half]);
          if constexpr (kAffine) {
            const float bias = scale_number(of.biases[half][i]), x_sum = x_sums[i];
            sums[half] = __fmaf_rn(kFractions ? bias - scale : bias, x_sum, sums[half]);
          }
        }
    }
  }
};

template <class T, Codes C, int B>
__global__ void __launch_bounds__(kThreads, 2)
    multiply_row(const __grid_constant__ FewRows p, const __grid_constant__ RowPlan plan) {
#if __CUDA_ARCH__ >= 800
  constexpr int kAhead = B <= 4 ? 3 : 2;  // turns in registers
  extern __shared__ uint4 shared[];
  __shared__ float slice_sums[kWarps][kTileRows];
  const StagedRow x{shared, reinterpret_cast<float*>(shared + plan.turns * kChunks + 1)};
  const int warp = threadIdx.x / 32, lane = threadIdx.x % 32;
  const int slice = warp % plan.slices, tiles_at_once = kWarps / plan.slices;
  const int64_t tiles = (p.n + kTileRows - 1) / kTileRows, blocks = (tiles + tiles_at_once - 1) / tiles_at_once;

  for (int64_t item = blockIdx.x; item < blocks * p.meeting.count; item += gridDim.x) {
    const int64_t product = item / blocks;
    const int64_t row0 = ((item - product * blocks) * tiles_at_once + warp / plan.slices) * kTileRows;
    const Operands at = operands_of(p, product);
    const int end = row0 < p.n && at.x ? plan.turns : 0;
    const RowReader<T, C, B> reader(p, plan, at, row0, lane);
    Turn<C, B> ring[kAhead];
#pragma unroll
    for (int ahead = 0; ahead < kAhead; ++ahead)
      if (slice + ahead * plan.slices < end) reader.load(ring[ahead], slice + ahead * plan.slices);
    if (at.x) stage_columns<T, C == Codes::affine>(x, at.x, p.k, plan);
    __syncthreads();

    float sums[2] = {};
    for (int first = slice; first < end; first += kAhead * plan.slices) {
#pragma unroll
      for (int i = 0; i < kAhead; ++i) {
        const int turn = first + i * plan.slices, next = turn + kAhead * plan.slices;
        if (turn >= end) break;
        reader.multiply(ring[i], turn, x, sums);
        if (next < end) reader.load(ring[i], next);
      }
    }

    // Lanes of a row, in the same order whichever the row; then slices in their order.
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      if constexpr (C != Codes::nvfp4) {
        sums[half] += __shfl_xor_sync(~0u, sums[half], 1);
        sums[half] += __shfl_xor_sync(~0u, sums[half], 2);
      }
      if (lane % 4 == 0) slice_sums[warp][lane / 4 + 8 * half] = sums[half];
    }
    __syncthreads();
    if (slice == 0 && lane < kTileRows && row0 + lane < p.n) {
      float sum = slice_sums[warp][lane];
      for (int other = 1; other < plan.slices; ++other) sum += slice_sums[warp + other][lane];
      T* const out = reinterpret_cast<T*>(p.out) + product * p.n + row0 + lane;
      if constexpr (std::is_same_v<T, __half>)
        *out = __float2half_rn(sum);
      else
        *out = __float2bfloat16_rn(sum);
    }
    __syncthreads();
  }
#endif
}

template <class T, Codes C, int B>
void launch_row(const Work& work, const FewRows& p) {
  constexpr int64_t kWarpsAtOnce = 2 * 132 * kWarps;  // two blocks on each multiprocessor of a large GPU
  const int64_t tiles = (p.n + kTileRows - 1) / kTileRows;
  RowPlan plan;
  plan.turns = static_cast<int>((p.k + kTurn - 1) / kTurn);
  plan.group_shift = std::countr_zero(static_cast<unsigned>(p.group));
  plan.sums = kTurn / p.group;
  while (plan.slices < kWarps && plan.slices < plan.turns && 2 * plan.slices * tiles * p.meeting.count <= kWarpsAtOnce)
    plan.slices *= 2;
  const int bytes = (plan.turns * kChunks + 1) * 16 + (C == Codes::affine ? plan.turns * plan.sums * 4 : 0);
  const int64_t scale_bytes = C == Codes::affine ? 2 : 1;
  uintptr_t pairs = reinterpret_cast<uintptr_t>(p.first.scales) | reinterpret_cast<uintptr_t>(p.first.biases) |
                    static_cast<uintptr_t>(p.groups_row * scale_bytes);
  for (int axis = 0; axis < axes_of(p); ++axis)
    pairs |= static_cast<uintptr_t>(p.meeting.scales[axis] | p.meeting.biases[axis]);
  plan.pairs = pairs % static_cast<uintptr_t>(2 * scale_bytes) == 0;
  const auto kernel = multiply_row<T, C, B>;
  check_cuda(cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, bytes), "quantized_matmul");
  const int tiles_at_once = kWarps / plan.slices;
  const int64_t items = (tiles + tiles_at_once - 1) / tiles_at_once * p.meeting.count;
  kernel<<<blocks_for(items, 1), kThreads, static_cast<size_t>(bytes), work.stream()>>>(p, plan);
  work.launched("quantized_matmul");
}

template <class T>
void launch_row_of(const Work& work, const packed::Format& format, const FewRows& p) {
  dispatch_format(format, [&]<Codes C, int B>() { launch_row<T, C, B>(work, p); });
}

}  // namespace plait::cuda
