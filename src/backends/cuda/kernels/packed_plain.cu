// Products of a few rows with packed matrices without tensor cores: float32, and matrices whose rows are steps of the product.
#include <algorithm>
#include <bit>

#include "backends/cuda/kernels/element.cuh"
#include "backends/cuda/kernels/packed.h"
#include "backends/cuda/kernels/packed_codes.h"
#include "backends/cuda/kernels/packed_meeting.cuh"

namespace plait::cuda {
namespace {

constexpr int kWarps = kThreads / 32;
constexpr int kRowsOfX = 4;  // at once
constexpr int kEight = 8;

__device__ float float_at(const void* data, int64_t i, DType dtype) {
  switch (dtype) {
    case DType::float16: return widened(static_cast<const Half*>(data)[i]);
    case DType::bfloat16: return widened(static_cast<const BHalf*>(data)[i]);
    default: return static_cast<const float*>(data)[i];
  }
}
__device__ void store_float(void* data, int64_t i, DType dtype, float x) {
  switch (dtype) {
    case DType::float16: static_cast<Half*>(data)[i] = narrowed<Half>(x); break;
    case DType::bfloat16: static_cast<BHalf*>(data)[i] = narrowed<BHalf>(x); break;
    default: static_cast<float*>(data)[i] = x;
  }
}

template <Codes C>
__device__ float scale_at(const FewRows& p, const Operands& at, int64_t i) {
  if constexpr (C == Codes::affine) return float_at(at.scales, i, p.dtype);
  return packed::scale_of_byte(C, reinterpret_cast<const uint8_t*>(at.scales)[i]);
}

// A warp for each row of w; lanes take eight of its numbers each, one behind the other. x is float32.
template <Codes C, int B>
__global__ void __launch_bounds__(kThreads) multiply_rows(const __grid_constant__ FewRows p, int group_shift) {
  const int lane = threadIdx.x % 32;
  const int64_t eights = p.k / kEight;
  for (int64_t item = blockIdx.x * int64_t{kWarps} + threadIdx.x / 32; item < p.n * p.meeting.count;
       item += gridDim.x * int64_t{kWarps}) {
    const int64_t product = item / p.n, row = item - product * p.n;
    const Operands at = operands_of(p, product);
    const auto* const words = reinterpret_cast<const uint32_t*>(at.words) + row * p.words_row;
    for (int64_t first = 0; first < p.m; first += kRowsOfX) {
      float sums[kRowsOfX] = {};
      for (int64_t eight = lane; at.x && eight < eights; eight += 32) {
        uint32_t pairs[4];
        eight_codes<B>(words + eight / 4 * B, static_cast<int>(eight % 4), pairs);
        float numbers[kEight];
#pragma unroll
        for (int i = 0; i < kEight; ++i) numbers[i] = packed::number_of(C, B, code_of(pairs, i));
        const int64_t group = row * p.groups_row + (eight >> group_shift);
        const float scale = scale_at<C>(p, at, group);
        const float bias = C == Codes::affine ? float_at(at.biases, group, p.dtype) : 0.0f;
#pragma unroll
        for (int m = 0; m < kRowsOfX; ++m) {
          if (first + m >= p.m) continue;
          const auto* const x = reinterpret_cast<const float*>(at.x) + (first + m) * p.x_row + eight * kEight;
          float sum = 0, x_sum = 0;
#pragma unroll
          for (int i = 0; i < kEight; ++i) {
            const float xi = x[i];
            sum = __fmaf_rn(xi, numbers[i], sum);
            x_sum += xi;
          }
          sums[m] = __fmaf_rn(scale, sum, sums[m]);
          if constexpr (C == Codes::affine) sums[m] = __fmaf_rn(bias, x_sum, sums[m]);
        }
      }
#pragma unroll
      for (int m = 0; m < kRowsOfX; ++m) {
        for (int step = 16; step > 0; step /= 2) sums[m] += __shfl_xor_sync(0xFFFFFFFF, sums[m], step);
        if (lane == 0 && first + m < p.m)
          reinterpret_cast<float*>(p.out)[(product * p.m + first + m) * p.n + row] = sums[m];
      }
    }
  }
}

struct ColumnsPlan {
  int group_shift;
  int64_t rows_at_once;  // of w, for a block
  int64_t parts;  // of the rows of w
  float* sums;  // (parts, batch, m, n)
};

// A lane for eight columns of w; warps of a block, and blocks, take turns at its rows.
template <Codes C, int B>
__global__ void __launch_bounds__(kThreads)
    multiply_columns_kernel(const __grid_constant__ FewRows p, const __grid_constant__ ColumnsPlan plan) {
  __shared__ float room[kWarps][32 * kEight];
  const int lane = threadIdx.x % 32, warp = threadIdx.x / 32;
  const int64_t across = (p.n + 32 * kEight - 1) / (32 * kEight), all = p.meeting.count * across * plan.parts;
  for (int64_t item = blockIdx.x; item < all; item += gridDim.x) {
    const int64_t part = item / (p.meeting.count * across), rest = item - part * p.meeting.count * across;
    const int64_t product = rest / across, eight = (rest - product * across) * 32 + lane;
    const Operands at = operands_of(p, product);
    const bool inside = at.x && eight * kEight < p.n;
    const int64_t begin = part * plan.rows_at_once;
    const int64_t end = begin + plan.rows_at_once < p.k ? begin + plan.rows_at_once : p.k;
    for (int64_t first = 0; first < p.m; first += kRowsOfX) {
      float sums[kRowsOfX][kEight] = {};
      for (int64_t row = begin + warp; inside && row < end; row += kWarps) {
        uint32_t pairs[4];
        eight_codes<B>(reinterpret_cast<const uint32_t*>(at.words) + row * p.words_row + eight / 4 * B,
                       static_cast<int>(eight % 4), pairs);
        const int64_t group = row * p.groups_row + (eight >> plan.group_shift);
        const float scale = scale_at<C>(p, at, group);
        const float bias = C == Codes::affine ? float_at(at.biases, group, p.dtype) : 0.0f;
        float numbers[kEight];
#pragma unroll
        for (int i = 0; i < kEight; ++i)
          numbers[i] = __fmaf_rn(packed::number_of(C, B, code_of(pairs, i)), scale, C == Codes::affine ? bias : -0.0f);
#pragma unroll
        for (int m = 0; m < kRowsOfX; ++m) {
          if (first + m >= p.m) continue;
          const float x = float_at(at.x, (first + m) * p.x_row + row, p.dtype);
#pragma unroll
          for (int i = 0; i < kEight; ++i) sums[m][i] = __fmaf_rn(x, numbers[i], sums[m][i]);
        }
      }
#pragma unroll
      for (int m = 0; m < kRowsOfX; ++m) {
        if (first + m >= p.m) continue;
#pragma unroll
        for (int i = 0; i < kEight; ++i) room[warp][i * 32 + lane] = sums[m][i];
        __syncthreads();
        // Thread t adds the warps' sums of column t of the block's.
        float sum = 0;
        for (int w = 0; w < kWarps; ++w) sum += room[w][threadIdx.x % kEight * 32 + threadIdx.x / kEight];
        const int64_t column = (rest - product * across) * 32 * kEight + threadIdx.x;
        if (column < p.n) plan.sums[((part * p.meeting.count + product) * p.m + first + m) * p.n + column] = sum;
        __syncthreads();
      }
    }
  }
}

__global__ void __launch_bounds__(kThreads)
    add_parts(void* out, const float* sums, int64_t count, int64_t parts, DType dtype) {
  for (int64_t i = blockIdx.x * int64_t{kThreads} + threadIdx.x; i < count; i += gridDim.x * int64_t{kThreads}) {
    float sum = 0;
    for (int64_t part = 0; part < parts; ++part) sum += sums[part * count + i];
    store_float(out, i, dtype, sum);
  }
}

// A thread for each element.
template <Codes C, int B>
__global__ void __launch_bounds__(kThreads)
    multiply_again_kernel(const __grid_constant__ FewRows p, bool transpose, int group_shift, const int* overflowed) {
  if (*overflowed == 0) return;
  const int64_t count = p.meeting.count * p.m * p.n;
  for (int64_t i = blockIdx.x * int64_t{kThreads} + threadIdx.x; i < count; i += gridDim.x * int64_t{kThreads}) {
    Half* const out = reinterpret_cast<Half*>(p.out) + i;
    if ((out->bits & 0x7C00) != 0x7C00) continue;
    const int64_t line = i / p.n, column = i - line * p.n, product = line / p.m, row = line - product * p.m;
    const Operands at = operands_of(p, product);
    float sum = 0;
    for (int64_t k = 0; at.x && k < p.k; ++k) {
      const int64_t w_row = transpose ? column : k, w_column = transpose ? k : column, eight = w_column / kEight;
      uint32_t pairs[4];
      eight_codes<B>(reinterpret_cast<const uint32_t*>(at.words) + w_row * p.words_row + eight / 4 * B,
                     static_cast<int>(eight % 4), pairs);
      const int64_t group = w_row * p.groups_row + (eight >> group_shift);
      const float number = packed::number_of(C, B, code_of(pairs, static_cast<int>(w_column % kEight)));
      const float bias = C == Codes::affine ? float_at(at.biases, group, p.dtype) : -0.0f;
      sum = __fmaf_rn(float_at(at.x, row * p.x_row + k, p.dtype), __fmaf_rn(number, scale_at<C>(p, at, group), bias),
                      sum);
    }
    *out = narrowed<Half>(sum);
  }
}

int group_shift_of(const FewRows& p) { return std::countr_zero(static_cast<unsigned>(p.group / kEight)); }

}  // namespace

void multiply_rows_plain(const Work& work, const packed::Format& format, const FewRows& p) {
  const unsigned blocks = blocks_for(p.n * p.meeting.count, kWarps);
  dispatch_format(format, [&]<Codes C, int B>() {
    multiply_rows<C, B><<<blocks, kThreads, 0, work.stream()>>>(p, group_shift_of(p));
  });
  work.launched("quantized_matmul");
}

void multiply_columns(Work& work, const packed::Format& format, const FewRows& p) {
  constexpr int64_t kBlocks = 512, kLeastRows = 64;  // enough to fill a device; of w, which pay for a sum of their own
  const int64_t across = (p.n + 32 * kEight - 1) / (32 * kEight) * p.meeting.count;
  const int64_t wanted =
      std::clamp<int64_t>((p.k + kLeastRows - 1) / kLeastRows, 1, std::max<int64_t>(1, kBlocks / across));
  ColumnsPlan plan{group_shift_of(p), (p.k + wanted - 1) / wanted, 0, nullptr};
  plan.parts = (p.k + plan.rows_at_once - 1) / plan.rows_at_once;
  const int64_t count = p.meeting.count * p.m * p.n;
  plan.sums = work.scratch<float>(plan.parts * count);
  dispatch_format(format, [&]<Codes C, int B>() {
    multiply_columns_kernel<C, B><<<blocks_for(across * plan.parts, 1), kThreads, 0, work.stream()>>>(p, plan);
  });
  add_parts<<<blocks_for(count), kThreads, 0, work.stream()>>>(p.out, plan.sums, count, plan.parts, p.dtype);
  work.launched("quantized_matmul");
}

void multiply_again(const Work& work, const packed::Format& format, const FewRows& p, bool transpose,
                    const int* overflowed) {
  const unsigned blocks = blocks_for(p.meeting.count * p.m * p.n);
  dispatch_format(format, [&]<Codes C, int B>() {
    multiply_again_kernel<C, B><<<blocks, kThreads, 0, work.stream()>>>(p, transpose, group_shift_of(p), overflowed);
  });
  work.launched("quantized_matmul");
}

}  // namespace plait::cuda
