#include "backends/cpu/order_kernels.h"
#include "backends/cpu/simd/vec.h"

namespace plait::cpu::PLAIT_TARGET {
namespace {

constexpr int64_t kBlock = 512;  // elements whose largest is found before anybody asks where it is
constexpr int kColumnsAtOnce = 8;  // vectors

/// How the bits of elements, read as signed integers of type K, become keys.
struct Signed {
  template <bool kSmallest, class V>
  PLAIT_SIMD V key(V bits) {
    return kSmallest ? ~bits : bits;
  }
};

struct Unsigned {
  template <bool kSmallest, class V>
  PLAIT_SIMD V key(V bits) {
    using K = LaneOf<V>;
    return Signed::key<kSmallest>(bits ^ static_cast<K>(K{1} << (8 * sizeof(K) - 1)));
  }
};

/// Bits below the sign count up from 0 for positive numbers and down for negative ones; past kInfinity they are NaN.
template <int64_t kInfinity>
struct Float {
  template <bool kSmallest, class V>
  PLAIT_SIMD V key(V bits) {
    using K = LaneOf<V>;
    constexpr K kMost = static_cast<K>(~(K{1} << (8 * sizeof(K) - 1)));
    V order = bits ^ ((bits < K{0}) & kMost);
    order -= (V)(order == K{-1});  // -0 becomes 0
    if (kSmallest) order = ~order;
    const V nan = (V)((bits & kMost) > static_cast<K>(kInfinity));
    return (nan & kMost) | (~nan & order);
  }
};

template <class V>
PLAIT_SIMD V larger(V a, V b) {
  return a > b ? a : b;
}

/// Up to a vector of elements; lanes behind the last repeat the first, so that none of them comes before it.
template <class K>
PLAIT_SIMD Vec<K> load_some(const K* from, int64_t n) {
  Vec<K> v = Vec<K>{} + from[0];
  __builtin_memcpy(&v, from, static_cast<size_t>(n) * sizeof(K));
  return v;
}

/// The first lane where `mask` is set, one of which is.
template <class M>
PLAIT_SIMD int first_lane(M mask) {
  int lane = 0;
  while (!mask[lane]) ++lane;
  return lane;
}

template <class K, class Order, bool kSmallest>
int64_t first_in_row(const void* row, int64_t n) {
  using V = Vec<K>;
  constexpr int kL = kLanes<K>;
  const K* from = static_cast<const K*>(row);
  const auto keys = [&](int64_t i)
                        __attribute__((always_inline)) { return Order::template key<kSmallest>(load(from + i)); };
  const auto largest_lane = [](V v) __attribute__((always_inline)) {
    K most = v[0];
    for (int i = 1; i < kL; ++i) most = v[i] > most ? v[i] : most;
    return most;
  };
  if (n < kL) {
    const V v = Order::template key<kSmallest>(load_some(from, n));
    return first_lane(v == largest_lane(v));
  }
  K best{};
  int64_t at = -1;
  for (int64_t begin = 0; begin < n; begin += kBlock) {
    const int64_t end = begin + kBlock < n ? begin + kBlock : n;
    // The last vector begins early where the block is no whole number of vectors.
    V a = keys(end - begin < kL ? end - kL : begin), b = a;
    int64_t i = begin;
    for (; i + 2 * kL <= end; i += 2 * kL) {
      a = larger(a, keys(i));
      b = larger(b, keys(i + kL));
    }
    for (; i < end; i += kL) a = larger(a, keys(i + kL <= end ? i : end - kL));
    const K most = largest_lane(larger(a, b));
    if (at < 0 || most > best) {
      best = most;
      at = begin;
    }
  }
  for (int64_t i = at;; i += kL) {
    const int64_t from_here = i + kL <= n ? i : n - kL;
    const auto found = keys(from_here) == best;
    if (any(found)) return from_here + first_lane(found);
  }
}

template <class K, class Order, bool kSmallest, int kVectors>
void first_in_group(const K* from, int64_t n, int64_t step, int64_t width, uint32_t* to) {
  constexpr int kL = kLanes<K>;
  const auto keys = [&](int64_t row, int v) __attribute__((always_inline)) {
    const K* here = from + row * step + v * kL;
    return Order::template key<kSmallest>(width == kVectors * kL ? load(here) : load_some(here, width));
  };
  Vec<K> best[kVectors];
  uint32_t at[kVectors * kL] = {};
  for (int v = 0; v < kVectors; ++v) best[v] = keys(0, v);
  for (int64_t row = 1; row < n; ++row)
    for (int v = 0; v < kVectors; ++v) {
      const Vec<K> here = keys(row, v);
      const auto better = here > best[v];
      if (!any(better)) continue;
      best[v] = larger(here, best[v]);
      for (int i = 0; i < kL; ++i)
        if (better[i]) at[v * kL + i] = static_cast<uint32_t>(row);
    }
  for (int64_t i = 0; i < width; ++i) to[i] = at[i];
}

template <class K, class Order, bool kSmallest>
void first_in_columns(const void* data, int64_t n, int64_t step, int64_t width, uint32_t* to) {
  constexpr int64_t kL = kLanes<K>;
  const K* from = static_cast<const K*>(data);
  int64_t c = 0;
  for (; c + kColumnsAtOnce * kL <= width; c += kColumnsAtOnce * kL)
    first_in_group<K, Order, kSmallest, kColumnsAtOnce>(from + c, n, step, kColumnsAtOnce * kL, to + c);
  for (; c < width; c += kL)
    first_in_group<K, Order, kSmallest, 1>(from + c, n, step, c + kL <= width ? kL : width - c, to + c);
}

template <class K, class Order>
void collect(OrderSearch& search) {
  constexpr int kL = kLanes<K>;
  const K* from = static_cast<const K*>(search.row);
  constexpr K kLeast = static_cast<K>(K{1} << (8 * sizeof(K) - 1));
  const K least = search.least < kLeast ? kLeast : static_cast<K>(search.least);
  int64_t i = search.begin, count = search.count;
  for (; i < search.n && count + kL <= search.room; i += kL) {
    const int64_t left = search.n - i;
    const Vec<K> keys = Order::template key<false>(left >= kL ? load(from + i) : load_some(from + i, left));
    const auto enough = keys >= least;
    if (!any(enough)) continue;
    for (int lane = 0; lane < kL && lane < left; ++lane)
      if (enough[lane]) search.items[count++] = {keys[lane], static_cast<uint32_t>(i + lane)};
  }
  search.begin = i < search.n ? i : search.n;
  search.count = count;
}

template <class K, class Order>
constexpr OrderKernels kernels() {
  return {first_in_row<K, Order, false>, first_in_row<K, Order, true>, first_in_columns<K, Order, false>,
          first_in_columns<K, Order, true>, collect<K, Order>};
}

}  // namespace

// In the order of DType.
extern const OrderKernels kOrderKernels[] = {
    kernels<int8_t, Unsigned>(),
    kernels<int8_t, Unsigned>(),
    kernels<int16_t, Unsigned>(),
    kernels<int32_t, Unsigned>(),
    kernels<int64_t, Unsigned>(),
    kernels<int8_t, Signed>(),
    kernels<int16_t, Signed>(),
    kernels<int32_t, Signed>(),
    kernels<int64_t, Signed>(),
    kernels<int16_t, Float<0x7C00>>(),
    kernels<int16_t, Float<0x7F80>>(),
    kernels<int32_t, Float<0x7F800000>>(),
    kernels<int64_t, Float<0x7FF0000000000000>>(),
    {},
};

}  // namespace plait::cpu::PLAIT_TARGET
