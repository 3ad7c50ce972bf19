// Reductions in the tree of bound.h: what is combined in which order, however many threads take part.
#pragma once

#include "backends/cuda/regions/device/bound.h"
#include "backends/cuda/regions/device/ops.cuh"

namespace plait::cuda {

template <class T>
PLAIT_D T lowest() {
  if constexpr (is_complex<T>)
    return {__uint_as_float(0xff800000u), __uint_as_float(0xff800000u)};
  else if constexpr (is_real<T>)
    return static_cast<T>(-real::kInfinity<real::Lane<T>>);
  else if constexpr (is_signed_integer<T>)
    return static_cast<T>(1ull << (8 * sizeof(T) - 1));
  else
    return T(0);
}
template <class T>
PLAIT_D T highest() {
  if constexpr (is_complex<T>)
    return {__uint_as_float(0x7f800000u), __uint_as_float(0x7f800000u)};
  else if constexpr (is_real<T>)
    return static_cast<T>(real::kInfinity<real::Lane<T>>);
  else if constexpr (is_signed_integer<T>)
    return static_cast<T>((1ull << (8 * sizeof(T) - 1)) - 1);
  else
    return static_cast<T>(~0ull);
}

// kOrdered: combine(a, b) and combine(b, a) may differ in bits (zeros of either sign, kinds of NaN).
struct reduce_sum {
  static constexpr bool kOrdered = false;
  template <class T>
  static PLAIT_D T identity() {
    return T{};
  }
  template <class T>
  static PLAIT_D T combine(T a, T b) {
    return op_add(a, b);
  }
};
struct reduce_prod {
  static constexpr bool kOrdered = false;
  template <class T>
  static PLAIT_D T identity() {
    if constexpr (is_complex<T>)
      return {1.0f, 0.0f};
    else
      return T(1);
  }
  template <class T>
  static PLAIT_D T combine(T a, T b) {
    if constexpr (is_complex<T>) {  // the identity leaves zeros and infinities alone
      if (a.re == 1 && to_bits(a.im) == 0) return b;
      if (b.re == 1 && to_bits(b.im) == 0) return a;
    }
    return op_mul(a, b);
  }
};
struct reduce_max {
  static constexpr bool kOrdered = true;
  template <class T>
  static PLAIT_D T identity() {
    return lowest<T>();
  }
  template <class T>
  static PLAIT_D T combine(T a, T b) {
    return op_max(a, b);
  }
  template <class Memory>
  static PLAIT_D u32 combine_pair(u32 a, u32 b) {
    return op_max_pair<Memory>(a, b);
  }
};
struct reduce_min {
  static constexpr bool kOrdered = true;
  template <class T>
  static PLAIT_D T identity() {
    return highest<T>();
  }
  template <class T>
  static PLAIT_D T combine(T a, T b) {
    return op_min(a, b);
  }
  template <class Memory>
  static PLAIT_D u32 combine_pair(u32 a, u32 b) {
    return op_min_pair<Memory>(a, b);
  }
};

template <class T>
PLAIT_D T from_lane(T x, int distance) {
  if constexpr (sizeof(T) == 8)
    return from_bits<T>(__shfl_xor_sync(~0u, to_bits(x), distance));
  else
    return from_bits<T>(__shfl_xor_sync(~0u, static_cast<u32>(to_bits(x)), distance));
}
/// Combines neighbours pairwise over groups of `group` threads, a power of two up to 32; every thread gets the result.
template <class R, class T>
PLAIT_D T across(T x, int group) {
  const int lane = threadIdx.x % 32;
  for (int d = 1; d < group; d *= 2) {
    const T other = from_lane(x, d);
    x = R::kOrdered && (lane & d) ? R::combine(other, x) : R::combine(x, other);
  }
  return x;
}

/// The lanes of one chunk in a warp, or of one row in a smaller group of threads: `at[h][j]` of thread t is lane
/// (h * group + t) * V + j. Lanes of h > 0 hold the identity unless the group is a warp.
template <class R, class T, int H, int V>
PLAIT_D T chunk_tree(T (&at)[H][V], int group) {
#pragma unroll
  for (int h = 0; h < H; ++h) {
#pragma unroll
    for (int width = 1; width < V; width *= 2)
#pragma unroll
      for (int j = 0; j + width < V; j += 2 * width) at[h][j] = R::combine(at[h][j], at[h][j + width]);
    at[h][0] = across<R>(at[h][0], group);
  }
#pragma unroll
  for (int width = 1; width < H; width *= 2)
#pragma unroll
    for (int h = 0; h + width < H; h += 2 * width) at[h][0] = R::combine(at[h][0], at[h + width][0]);
  return at[0][0];
}
/// Of pairs of 16-bit floats, where the order does not matter: the extremum of a row that `group` threads hold.
template <class R, class Memory, int N>
PLAIT_D float pair_tree(u32 (&at)[N], int group) {
#pragma unroll
  for (int i = 1; i < N; ++i) at[0] = R::template combine_pair<Memory>(at[0], at[i]);
  return across<R>(R::combine(low_of<Memory>(at[0]), high_of<Memory>(at[0])), group);
}
/// The results of up to 32 chunks, one a warp of the block: each warp puts its own into a place, and behind a barrier every thread gets
/// the result. `shared` has 32 places.
template <class T>
PLAIT_D void block_put(T x, u64* shared) {
  if (threadIdx.x % 32 == 0) shared[threadIdx.x / 32] = to_bits(x);
}
template <class R, class T>
PLAIT_D T block_take(const u64* shared) {
  const int lane = threadIdx.x % 32;
  return across<R>(lane < static_cast<int>(blockDim.x / 32) ? from_bits<T>(shared[lane]) : R::template identity<T>(),
                   32);
}

/// The next round, of a row of up to kLongChunks chunks' results: each warp does all of it, and every thread gets the result.
template <class R, class T>
PLAIT_D T chunks_tree(const u64* partial, int chunks) {
  if (chunks == 1) return from_bits<T>(partial[0]);
  T at[kLanesOfChunk / 32][1];
#pragma unroll
  for (int h = 0; h < kLanesOfChunk / 32; ++h) {
    at[h][0] = R::template identity<T>();
    for (int i = h * 32 + threadIdx.x % 32; i < chunks; i += kLanesOfChunk)
      at[h][0] = R::combine(at[h][0], from_bits<T>(partial[i]));
  }
  return chunk_tree<R>(at, 32);
}

/// Elements that a lane of a chunk of `count` elements takes.
PLAIT_D int steps_of(int count, int lane) { return count > lane ? (count - lane - 1) / kLanesOfChunk + 1 : 0; }

/// Adds the next of neighbours that come one after the other, `count` having come: combined like the carries of a counter. The
/// combination that ends with it; of all where count + 1 is a power of two.
template <class R, class T>
PLAIT_D T carried(T (&at)[6], u32 count, T x) {
  bool placed = false;
#pragma unroll
  for (int bit = 0; bit < 6; ++bit) {
    if (placed) continue;
    if (count >> bit & 1) {
      x = R::combine(at[bit], x);
    } else {
      at[bit] = x;
      placed = true;
    }
  }
  return x;
}

/// Neighbouring lanes of a chunk as one thread gets them, four and four.
template <class R, class T>
struct Carries {
  T at[6];
  u32 count = 0;
  T last;  // the tree's result when the count is a power of two
  /// The next four lanes; all of them where a thread has fewer, one or two.
  PLAIT_D void push(const T (&lane)[4], int lanes) {
    if (lanes < 4) {
      last = lanes == 1 ? lane[0] : R::combine(lane[0], lane[1]);
      return;
    }
    T x = R::combine(R::combine(lane[0], lane[1]), R::combine(lane[2], lane[3]));
    last = carried<R>(at, count, x);
    ++count;
  }
};
/// The lanes of a row of up to kShortRow elements as one thread gets them, one after the other.
template <class R, class T>
struct Lanes {
  T at[6];
  PLAIT_D void push(int lane, T x) { carried<R>(at, static_cast<u32>(lane), R::combine(R::template identity<T>(), x)); }
  /// The lanes up to the next power of two are as they began.
  PLAIT_D T tree(int length) const {
    T x = R::template identity<T>();
    bool begun = false;
#pragma unroll
    for (int bit = 0; bit < 6; ++bit) {
      if (length >> bit & 1) {
        if (length == 1 << bit) return at[bit];
        x = R::combine(at[bit], x);
        begun = true;
      } else if (begun && length >> bit) {
        x = R::combine(x, R::template identity<T>());
      }
    }
    return x;
  }
};

/// Neighbouring lanes' trees of the threads of one column, threadIdx.y being their order; thread 0 gets the result. `shared`
/// has a place for each thread.
template <class R, class T>
PLAIT_D T column_tree(T x, u64* shared) {
  const int column = threadIdx.x, y = threadIdx.y;
  for (int width = 1; width < static_cast<int>(blockDim.y); width *= 2) {
    __syncthreads();
    shared[y * blockDim.x + column] = to_bits(x);
    __syncthreads();
    if (y % (2 * width) == 0) x = R::combine(x, from_bits<T>(shared[(y + width) * blockDim.x + column]));
  }
  return x;
}

}  // namespace plait::cuda
