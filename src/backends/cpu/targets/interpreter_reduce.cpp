// Reductions along rows, in the tree that tile_kernels.h describes.
#include "backends/cpu/targets/tile_loops.h"

namespace plait::cpu::PLAIT_TARGET {
namespace {

struct Sum {
  template <class T>
  static constexpr T identity = T{0};
  template <class V>
  PLAIT_SIMD V apply(V a, V b) {
    return a + b;
  }
};
struct Prod {
  template <class T>
  static constexpr T identity = T{1};
  template <class V>
  PLAIT_SIMD V apply(V a, V b) {
    return a * b;
  }
};

template <class T>
PLAIT_SIMD constexpr T lowest() {
  if constexpr (std::is_floating_point_v<T>)
    return -static_cast<T>(__builtin_inf());
  else if constexpr (std::is_signed_v<T>)
    return static_cast<T>(std::make_unsigned_t<T>{1} << (8 * sizeof(T) - 1));
  else
    return T{0};
}
template <class T>
PLAIT_SIMD constexpr T highest() {
  if constexpr (std::is_floating_point_v<T>)
    return static_cast<T>(__builtin_inf());
  else
    return static_cast<T>(~lowest<T>());
}
struct Max {
  template <class T>
  static constexpr T identity = lowest<T>();
  template <class V>
  PLAIT_SIMD V apply(V a, V b) {
    return max(a, b);
  }
};
struct Min {
  template <class T>
  static constexpr T identity = highest<T>();
  template <class V>
  PLAIT_SIMD V apply(V a, V b) {
    return min(a, b);
  }
};
struct All {  // of bools
  template <class T>
  static constexpr T identity = T{1};
  template <class V>
  PLAIT_SIMD V apply(V a, V b) {
    return a & b;
  }
};

// The lanes of one row in registers. Integers have more lanes than kReduceLanes where a register is wider: the order of their
// elements does not matter.
template <class T, class F>
struct Lanes {
  static constexpr int kLaneCount = kLanes<T> > kReduceLanes ? kLanes<T> : static_cast<int>(kReduceLanes);
  static constexpr int kRegisters = kLaneCount / kLanes<T>;
  static_assert(kLaneCount * sizeof(T) <= kReduceStateBytes);
  using V = Vec<T>;
  V at[kRegisters];

  PLAIT_SIMD void begin(Lanes& lanes) {
    for (int k = 0; k < kRegisters; ++k) lanes.at[k] = splat<V>(F::template identity<T>);
  }
  PLAIT_SIMD void accumulate(Lanes& lanes, const char* in, int64_t n) {
    constexpr int64_t kBytes = kLaneCount * sizeof(T);
    for (; n >= kLaneCount; n -= kLaneCount, in += kBytes)
      for (int k = 0; k < kRegisters; ++k) lanes.at[k] = F::apply(lanes.at[k], load_as<V>(in + k * kVectorBytes));
    if (n > 0) {  // identities in the lanes that have no element change nothing
      Lanes last;
      begin(last);
      __builtin_memcpy(&last, in, static_cast<size_t>(n) * sizeof(T));
      for (int k = 0; k < kRegisters; ++k) lanes.at[k] = F::apply(lanes.at[k], last.at[k]);
    }
  }
  PLAIT_SIMD T finish(Lanes lanes) {
    for (int half = kRegisters / 2; half > 0; half /= 2)
      for (int k = 0; k < half; ++k) lanes.at[k] = F::apply(lanes.at[k], lanes.at[k + half]);
    return fold(lanes.at[0]);
  }
  template <class W>
  PLAIT_SIMD T fold(W v) {
    if constexpr (kLanesOf<W> == 2) {
      const VecN<T, 16 / sizeof(T)> low = {v[0]}, high = {v[1]};
      return F::apply(low, high)[0];
    } else {
      return fold(F::apply(low_half(v), high_half(v)));
    }
  }
};

template <class T, class F>
struct Reduce {
  using L = Lanes<T, F>;
  static void begin(char* state) {
    L lanes;
    L::begin(lanes);
    __builtin_memcpy(state, &lanes, sizeof lanes);
  }
  static void accumulate(char* state, const char* in, int64_t n) {
    L lanes;
    __builtin_memcpy(&lanes, state, sizeof lanes);
    L::accumulate(lanes, in, n);
    __builtin_memcpy(state, &lanes, sizeof lanes);
  }
  static void finish(char* out, const char* state) {
    L lanes;
    __builtin_memcpy(&lanes, state, sizeof lanes);
    const T result = L::finish(lanes);
    __builtin_memcpy(out, &result, sizeof result);
  }
  static void segments(char* out, const char* in, int64_t rows, int64_t length) {
    for (int64_t r = 0; r < rows; ++r) {
      L lanes;
      L::begin(lanes);
      L::accumulate(lanes, in, length);
      const T result = L::finish(lanes);
      __builtin_memcpy(out, &result, sizeof result);
      out += sizeof(T), in += length * static_cast<int64_t>(sizeof(T));
    }
  }
  static constexpr ReduceFns kFns = {begin, accumulate, finish, segments};
};

// Sums and products of signed integers have the bits of unsigned ones, whose overflow is defined.
template <class T, bool kInteger = std::is_integral_v<T>>
struct Unsigned {
  using type = T;
};
template <class T>
struct Unsigned<T, true> {
  using type = std::make_unsigned_t<T>;
};

template <class T>
void add_type(TileKernels& table, DType type) {
  const int d = static_cast<int>(type);
  using Wrapping = typename Unsigned<T>::type;
  table.reduce[0][d] = Reduce<Wrapping, Sum>::kFns;
  table.reduce[1][d] = Reduce<Wrapping, Prod>::kFns;
  table.reduce[2][d] = Reduce<T, Max>::kFns;
  table.reduce[3][d] = Reduce<T, Min>::kFns;
}

}  // namespace

void add_reduce_kernels(TileKernels& table) {
  add_type<float>(table, DType::float32);
  add_type<double>(table, DType::float64);
  add_type<uint8_t>(table, DType::uint8);
  add_type<uint16_t>(table, DType::uint16);
  add_type<uint32_t>(table, DType::uint32);
  add_type<uint64_t>(table, DType::uint64);
  add_type<int8_t>(table, DType::int8);
  add_type<int16_t>(table, DType::int16);
  add_type<int32_t>(table, DType::int32);
  add_type<int64_t>(table, DType::int64);
  const int b = static_cast<int>(DType::bool_);
  table.reduce[0][b] = table.reduce[2][b] = Reduce<uint8_t, Max>::kFns;  // any
  table.reduce[1][b] = table.reduce[3][b] = Reduce<uint8_t, All>::kFns;
}

}  // namespace plait::cpu::PLAIT_TARGET
