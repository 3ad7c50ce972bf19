// Numbers into packed ones and back: a thread for each eight numbers.
#include <bit>

#include "backends/cuda/kernels/element.cuh"
#include "backends/cuda/kernels/packed.h"
#include "backends/cuda/kernels/packed_codes.h"
#include "backends/cuda/kernels/tables.h"

namespace plait::cuda {
namespace {

bool aligned(const void* data) { return reinterpret_cast<uintptr_t>(data) % 16 == 0; }
int group_shift_of(const packed::Format& format) { return std::countr_zero(static_cast<uint64_t>(format.group / 8)); }

template <class F>
void dispatch_float(DType d, F&& f) {
  switch (d) {
    case DType::float16: return f.template operator()<Half>();
    case DType::bfloat16: return f.template operator()<BHalf>();
    case DType::float64: return f.template operator()<double>();
    default: return f.template operator()<float>();
  }
}

// Row and place in it of eight numbers; a division of 32 bits where that is enough.
struct Place {
  int64_t row, eight;
};
__device__ Place place_of(int64_t i, int64_t eights, bool is_short) {
  const int64_t row = is_short ? static_cast<uint32_t>(i) / static_cast<uint32_t>(eights) : i / eights;
  return {row, i - row * eights};
}

struct Unpacked {
  PackedRows from;
  void* to;
  int64_t rows, eights;  // of a row
  int group_shift;  // eights of a group, as a power of two
  bool once, is_short, aligned;
  int* overflowed;
};

template <class T, Codes C, int B>
__global__ void __launch_bounds__(kThreads) unpack_eights(Unpacked p) {
  using W = Wide<T>;
  for (int64_t i = blockIdx.x * int64_t{kThreads} + threadIdx.x; i < p.rows * p.eights;
       i += gridDim.x * int64_t{kThreads}) {
    const auto [row, eight] = place_of(i, p.eights, p.is_short);
    const int64_t matrix = p.from.pick ? *p.from.pick : 0, from = matrix * p.from.matrix_rows + row;
    const int64_t at = from * p.from.groups_row + (eight >> p.group_shift);
    alignas(16) T numbers[8] = {};
    uint32_t pairs[4];
    if (matrix >= 0)
      eight_codes<B>(p.from.words + from * p.from.words_row + eight / 4 * B, static_cast<int>(eight % 4), pairs);
    if (matrix < 0) {
    } else if constexpr (C == Codes::affine) {
      const W scale = widened(static_cast<const T*>(p.from.scales)[at]);
      const W bias = widened(static_cast<const T*>(p.from.biases)[at]);
#pragma unroll
      for (int k = 0; k < 8; ++k) {
        const W product = static_cast<W>(code_of(pairs, k)) * scale;
        numbers[k] = narrowed<T>((p.once ? product : widened(narrowed<T>(product))) + bias);
      }
    } else {
      const W scale = static_cast<W>(packed::scale_of_byte(C, static_cast<const uint8_t*>(p.from.scales)[at]));
#pragma unroll
      for (int k = 0; k < 8; ++k)
        numbers[k] = narrowed<T>(static_cast<W>(packed::number_of(C, B, code_of(pairs, k))) * scale);
    }
    if constexpr (std::is_same_v<T, Half>) {
      bool infinite = false;
#pragma unroll
      for (int k = 0; k < 8; ++k) infinite |= (numbers[k].bits & 0x7FFF) == 0x7C00;
      if (infinite && p.overflowed) *p.overflowed = 1;  // all that write it write the same
    }
    T* const to = static_cast<T*>(p.to) + i * 8;
    if (p.aligned) {
#pragma unroll
      for (size_t k = 0; k < sizeof(numbers) / 16; ++k)
        reinterpret_cast<uint4*>(to)[k] = reinterpret_cast<const uint4*>(numbers)[k];
    } else {
#pragma unroll
      for (int k = 0; k < 8; ++k) to[k] = numbers[k];
    }
  }
}

template <class T>
__device__ bool is_negative(T x) {
  using Bits = std::conditional_t<sizeof(T) == 8, uint64_t, std::conditional_t<sizeof(T) == 4, uint32_t, uint16_t>>;
  return same_bits<Bits>(x) >> (8 * sizeof(T) - 1) != 0;
}

struct Packing {
  const void* from;
  uint32_t* words;
  void *scales, *biases;
  int64_t eights;
  int group_shift;  // lanes that hold one group, as a power of two
  bool aligned;
};

// Lanes side by side hold a group.
template <class W, class Join>
__device__ W joined(W x, int lanes, Join join) {
  for (int step = 1; step < lanes; step *= 2) x = join(x, __shfl_xor_sync(0xFFFFFFFF, x, step));
  return x;
}

template <class T, Codes C, int B>
__global__ void __launch_bounds__(kThreads) pack_eights(Packing p) {
  using W = Wide<T>;
  const int64_t first = blockIdx.x * int64_t{kThreads} + threadIdx.x;
  // All lanes of a warp stay together: they ask each other.
  const int lanes = 1 << p.group_shift;
  for (int64_t i = first; i - threadIdx.x % 32 < p.eights; i += gridDim.x * int64_t{kThreads}) {
    const bool inside = i < p.eights;
    alignas(16) T numbers[8] = {};
    if (inside) {
      const T* const from = static_cast<const T*>(p.from) + i * 8;
      if (p.aligned) {
#pragma unroll
        for (size_t k = 0; k < sizeof(numbers) / 16; ++k)
          reinterpret_cast<uint4*>(numbers)[k] = reinterpret_cast<const uint4*>(from)[k];
      } else {
#pragma unroll
        for (int k = 0; k < 8; ++k) numbers[k] = from[k];
      }
    }
    const int64_t group = i >> p.group_shift;
    const bool writes = inside && (i & (lanes - 1)) == 0;
    uint64_t codes = 0;
    if constexpr (C == Codes::affine) {
      const W infinity = static_cast<W>(same_bits<float>(0x7F800000u)), last = static_cast<W>((1 << B) - 1);
      W low = infinity, high = -infinity;
#pragma unroll
      for (int k = 0; k < 8; ++k) {
        const W x = widened(numbers[k]);
        low = x < low ? x : low;
        high = x > high ? x : high;
      }
      low = joined(low, lanes, [](W a, W b) { return b < a ? b : a; });
      high = joined(high, lanes, [](W a, W b) { return b > a ? b : a; });
      const packed::AffineGroup<W> of = packed::affine_group(low, high, last);
#pragma unroll
      for (int k = 0; k < 8; ++k)
        codes |= static_cast<uint64_t>(packed::affine_code(widened(numbers[k]), of, last)) << (B * k);
      if (writes) {
        static_cast<T*>(p.scales)[group] = narrowed<T>(of.scale);
        static_cast<T*>(p.biases)[group] = narrowed<T>(of.bias);
      }
    } else {
      float most = 0;
#pragma unroll
      for (int k = 0; k < 8; ++k) {
        const float a = packed::magnitude_of(static_cast<float>(widened(numbers[k])));
        most = most < a ? a : most;
      }
      most = joined(most, lanes, [](float a, float b) { return a < b ? b : a; });
      const uint32_t byte = packed::scale_byte(C, B, most);
      const float scale = packed::scale_of_byte(C, byte);
#pragma unroll
      for (int k = 0; k < 8; ++k) {
        const float x = static_cast<float>(widened(numbers[k]));
        codes |= static_cast<uint64_t>(packed::microscaled_code(B, x, is_negative(numbers[k]), scale)) << (B * k);
      }
      if (writes) static_cast<uint8_t*>(p.scales)[group] = static_cast<uint8_t>(byte);
    }
    if constexpr (B == 4) {
      if (inside) p.words[i] = static_cast<uint32_t>(codes);
    } else if constexpr (B == 8) {
      if (inside) {
        p.words[2 * i] = static_cast<uint32_t>(codes);
        p.words[2 * i + 1] = static_cast<uint32_t>(codes >> 32);
      }
    } else {  // four lanes make B words
      const int part = static_cast<int>(i % 4);
#pragma unroll
      for (int word = 0; word < B; ++word) {
        const uint32_t whole =
            joined(part_of_word<B>(codes, part, word), 4, [](uint32_t a, uint32_t b) { return a | b; });
        if (inside && word % 4 == part) p.words[i / 4 * B + word] = whole;
      }
    }
  }
}

void run_dequantize(const KernelArgs& args) {
  const TensorView &out = args.outputs[0], &words = args.inputs[0], &scales = args.inputs[1];
  if (out.count() == 0) return;
  const packed::Format format = packed::format_of(args.attrs);
  const int64_t n = out.shape.back();
  const PackedRows from{words.as<const uint32_t>(), scales.data, format.affine() ? args.inputs[2].data : nullptr,
                        words.shape.back(), scales.shape.back()};
  unpack(Work(args), format, out.dtype, from, out.count() / n, n, out.data, Rounding::twice);
}

void run_quantize(const KernelArgs& args) {
  const TensorView& in = args.inputs[0];
  if (in.count() == 0) return;
  const Work work(args);
  const packed::Format format = packed::format_of(args.attrs);
  const Packing p{in.data,
                  args.outputs[0].as<uint32_t>(),
                  args.outputs[1].data,
                  format.affine() ? args.outputs[2].data : nullptr,
                  in.count() / 8,
                  group_shift_of(format),
                  aligned(in.data)};
  dispatch_float(in.dtype, [&]<class T>() {
    dispatch_format(format, [&]<Codes C, int B>() {
      pack_eights<T, C, B><<<blocks_for(p.eights), kThreads, 0, work.stream()>>>(p);
    });
  });
  work.launched("quantize");
}

}  // namespace

void unpack(const Work& work, const packed::Format& format, DType dtype, const PackedRows& from, int64_t rows,
            int64_t n, void* to, Rounding rounding, int* overflowed) {
  const int64_t eights = rows * (n / 8);
  const Unpacked p{
      from,        to,        rows, n / 8, group_shift_of(format), rounding == Rounding::once, eights <= INT32_MAX,
      aligned(to), overflowed};
  dispatch_float(dtype, [&]<class T>() {
    dispatch_format(format, [&]<Codes C, int B>() {
      unpack_eights<T, C, B><<<blocks_for(eights), kThreads, 0, work.stream()>>>(p);
    });
  });
  work.launched("dequantize");
}

void add_packed_kernels(Table& table) {
  table.push_back({"affine_dequantize", {.run = run_dequantize}});
  table.push_back({"microscaled_dequantize", {.run = run_dequantize}});
  table.push_back({"affine_quantize", {.run = run_quantize}});
  table.push_back({"microscaled_quantize", {.run = run_quantize}});
}

}  // namespace plait::cuda
