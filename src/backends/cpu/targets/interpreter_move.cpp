// Moving elements by their width: into tiles, out of tiles, across.
#include "backends/cpu/targets/tile_loops.h"

namespace plait::cpu::PLAIT_TARGET {
namespace {

template <class T>
PLAIT_SIMD T get(const char* p) {
  T x;
  __builtin_memcpy(&x, p, sizeof x);
  return x;
}

template <class T>
struct Moves {
  static constexpr int64_t kBytes = sizeof(T);

  static void move(char* out, const char* a, const char*, const char*, unsigned uniform, int64_t n) {
    const int64_t step_a = uniform & 1 ? 0 : kVectorBytes;
    for (int64_t i = 0; i < n; i += kLanes<T>) {
      store(out, load_as<Vec<T>>(a));
      out += kVectorBytes, a += step_a;
    }
  }

  static void splat_one(char* out, const char* element) { store(out, splat<Vec<T>>(get<T>(element))); }

  static void gather(char* out, const char* in, int64_t stride, int64_t n) {
    if (stride == 1) {
      __builtin_memcpy(out, in, static_cast<size_t>(n * kBytes));
    } else if (stride == 0) {
      const T x = get<T>(in);
      for (int64_t i = 0; i < n; ++i) __builtin_memcpy(out + i * kBytes, &x, kBytes);
    } else {
      const int64_t step = stride * kBytes;
      int64_t i = 0;
      for (; i + 4 <= n; i += 4, in += 4 * step, out += 4 * kBytes) {
        const T x[4] = {get<T>(in), get<T>(in + step), get<T>(in + 2 * step), get<T>(in + 3 * step)};
        __builtin_memcpy(out, x, sizeof x);
      }
      for (; i < n; ++i, in += step, out += kBytes) __builtin_memcpy(out, in, kBytes);
    }
  }

  static void scatter(char* out, int64_t stride, const char* in, int64_t n) {
    if (stride == 1) {
      __builtin_memcpy(out, in, static_cast<size_t>(n * kBytes));
    } else {
      for (int64_t i = 0; i < n; ++i, in += kBytes, out += stride * kBytes) __builtin_memcpy(out, in, kBytes);
    }
  }

  static void expand(char* out, const char* in, int64_t n, int64_t repeat) {
    for (int64_t i = 0; i < n; ++i, in += kBytes) {
      const T x = get<T>(in);
      for (int64_t j = 0; j < repeat; ++j, out += kBytes) __builtin_memcpy(out, &x, kBytes);
    }
  }

  // A square of elements in registers of 16 bytes: interleaving the halves log2(side) times transposes it.
  static constexpr int kSide = 16 / sizeof(T);
  using Row = VecN<T, kSide>;
  template <int... i>
  PLAIT_SIMD Row interleave(Row a, Row b, std::integer_sequence<int, i...>) {
    return __builtin_shufflevector(a, b, (i / 2 + i % 2 * kSide)...);
  }
  template <int... i>
  PLAIT_SIMD Row interleave_high(Row a, Row b, std::integer_sequence<int, i...>) {
    return __builtin_shufflevector(a, b, (kSide / 2 + i / 2 + i % 2 * kSide)...);
  }
  PLAIT_SIMD void square(char* out, int64_t out_step, const char* in, int64_t in_step) {
    constexpr std::make_integer_sequence<int, kSide> kIndices{};
    Row rows[kSide], next[kSide];
    for (int k = 0; k < kSide; ++k) rows[k] = load_as<Row>(in + k * in_step);
#pragma GCC unroll 4
    for (int stage = 1; stage < kSide; stage *= 2) {
#pragma GCC unroll 8
      for (int k = 0; k < kSide / 2; ++k) {
        next[2 * k] = interleave(rows[k], rows[k + kSide / 2], kIndices);
        next[2 * k + 1] = interleave_high(rows[k], rows[k + kSide / 2], kIndices);
      }
#pragma GCC unroll 16
      for (int k = 0; k < kSide; ++k) rows[k] = next[k];
    }
    for (int k = 0; k < kSide; ++k) store(out + k * out_step, rows[k]);
  }

  static void transpose(char* out, int64_t out_stride, const char* in, int64_t in_stride, int64_t rows,
                        int64_t columns) {
    const int64_t out_step = out_stride * kBytes, in_step = in_stride * kBytes;
    int64_t i = 0;
    for (; i + kSide <= rows; i += kSide) {
      int64_t j = 0;
      for (; j + kSide <= columns; j += kSide)
        square(out + i * out_step + j * kBytes, out_step, in + j * in_step + i * kBytes, in_step);
      for (; j < columns; ++j)
        for (int64_t k = i; k < i + kSide; ++k)
          __builtin_memcpy(out + k * out_step + j * kBytes, in + j * in_step + k * kBytes, kBytes);
    }
    for (; i < rows; ++i)
      for (int64_t j = 0; j < columns; ++j)
        __builtin_memcpy(out + i * out_step + j * kBytes, in + j * in_step + i * kBytes, kBytes);
  }
};

void stream(char* out, const char* in, int64_t bytes) {
  const int64_t head = -reinterpret_cast<intptr_t>(out) & (kVectorBytes - 1);
  if (bytes <= head + kVectorBytes) {
    __builtin_memcpy(out, in, static_cast<size_t>(bytes));
    return;
  }
  __builtin_memcpy(out, in, static_cast<size_t>(head));
  int64_t i = head;
  for (; i + kVectorBytes <= bytes; i += kVectorBytes) store_streaming(out + i, load_as<Vec<int32_t>>(in + i));
  __builtin_memcpy(out + i, in + i, static_cast<size_t>(bytes - i));
}
void fence() { store_fence(); }

template <class T, int kLog>
void add_width(TileKernels& table) {
  table.move[kLog] = Moves<T>::move;
  table.splat[kLog] = Moves<T>::splat_one;
  table.gather[kLog] = Moves<T>::gather;
  table.scatter[kLog] = Moves<T>::scatter;
  table.expand[kLog] = Moves<T>::expand;
  table.transpose[kLog] = Moves<T>::transpose;
}

}  // namespace

void add_move_kernels(TileKernels& table) {
  add_width<uint8_t, 0>(table);
  add_width<uint16_t, 1>(table);
  add_width<uint32_t, 2>(table);
  add_width<uint64_t, 3>(table);
  table.stream = stream;
  table.fence = fence;
  for (int d = 0; d < kDTypeCount; ++d) table.compute[static_cast<int>(ir::Op::bitcast)][d] = table.move[kLogWidth[d]];
}

}  // namespace plait::cpu::PLAIT_TARGET
