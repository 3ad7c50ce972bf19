// One or a few queries on many keys are bound by how fast keys and values arrive: each is read once, for all queries of the heads that
// share it. A block has some of the keys. What blocks found is joined by a second kernel, always in one order.
#include <cfloat>

#include "backends/cuda/kernels/attention_few.h"
#include "backends/cuda/kernels/element.cuh"

namespace plait::cuda {
namespace {

constexpr int kFewThreads = 128, kFewWarps = kFewThreads / 32;
constexpr int kPiece = 8;  // features of a lane
constexpr int kMostRows = 8;  // queries of heads that a block has at once
constexpr int kMostChunk = 256;  // keys of a block
constexpr int kLeastChunk = 32;
constexpr int kMostChunks = 1024;
constexpr int kAhead = 4;  // loads of a lane before their first use
constexpr int64_t kBlocksWanted = 4 * 132;  // a few for each multiprocessor of a large GPU

struct Few {
  const char *q, *k, *v, *mask, *sinks;  // sinks: null where there are none
  int64_t q_strides[4], k_strides[3], v_strides[3], mask_strides[4], sink_strides[2];
  AttentionCall::Mask kind;
  int heads, shared, group, queries, features, values, tiles, chunk, chunks;
  int64_t keys;
  float scale;
  float *sums, *most, *total;  // of chunks: (N, heads, L, chunks, V) and without V
};

/// A lane's features of one row as they lie.
template <class T>
struct Piece {
  static constexpr int kWords = kPiece * static_cast<int>(sizeof(T)) / 16;
  uint4 words[kWords] = {};
  __device__ void load(const T* from) {
#pragma unroll
    for (int i = 0; i < kWords; ++i) words[i] = __ldg(reinterpret_cast<const uint4*>(from) + i);
  }
  __device__ float operator[](int i) const {
    T x;
    memcpy(&x, reinterpret_cast<const char*>(words) + i * sizeof(T), sizeof(T));
    return widened(x);
  }
};

/// Which query of which head is row `r` of the heads that share a key's head.
struct RowAt {
  int head, query;
  __device__ RowAt(const Few& f, int with, int r) : head(with * f.group + r / f.queries), query(r % f.queries) {}
};

template <class T>
__device__ bool sees(const Few& f, int64_t n, const RowAt& at, int64_t key) {
  if (f.kind == AttentionCall::Mask::causal) return key < at.query + f.keys - f.queries + 1;
  if (f.kind != AttentionCall::Mask::boolean) return true;
  return f.mask[n * f.mask_strides[0] + at.head * f.mask_strides[1] + at.query * f.mask_strides[2] +
                key * f.mask_strides[3]] != 0;
}

template <class T>
__device__ float score_of(const Few& f, int64_t n, const RowAt& at, int64_t key, float product) {
  if (!sees<T>(f, n, at, key)) return -FLT_MAX;
  const float score = product * f.scale;
  if (f.kind != AttentionCall::Mask::added) return score;
  return score + widened(reinterpret_cast<const T*>(f.mask)[n * f.mask_strides[0] + at.head * f.mask_strides[1] +
                                                            at.query * f.mask_strides[2] + key * f.mask_strides[3]]);
}

/// A block for each chunk of keys of each head of keys, and each R of its rows. Lanes meet one key together, each with a piece of it.
template <class T, int kLanes, int R>
__global__ void __launch_bounds__(kFewThreads) few_kernel(const __grid_constant__ Few f) {
  constexpr int kGroups = kFewThreads / kLanes;  // keys at once
  __shared__ float scores[R][kMostChunk];
  __shared__ float parts[kFewWarps][R][kLanes * kPiece];
  const int lane = threadIdx.x % kLanes, of_group = threadIdx.x / kLanes, warp = threadIdx.x / 32;
  int64_t rest = blockIdx.x;
  const int chunk = static_cast<int>(rest % f.chunks);
  rest /= f.chunks;
  const int tile = static_cast<int>(rest % f.tiles);
  rest /= f.tiles;
  const int with = static_cast<int>(rest % f.shared);
  const int64_t n = rest / f.shared;
  const int64_t first = int64_t{chunk} * f.chunk;
  const int count = static_cast<int>(min(int64_t{f.chunk}, f.keys - first));
  const int first_row = tile * R, rows = min(R, f.group * f.queries - first_row);

  float q[R][kPiece] = {};
#pragma unroll
  for (int r = 0; r < R; ++r) {
    if (r >= rows) break;
    const RowAt at(f, with, first_row + r);
    const T* const from =
        reinterpret_cast<const T*>(f.q) + n * f.q_strides[0] + at.head * f.q_strides[1] + at.query * f.q_strides[2];
#pragma unroll
    for (int i = 0; i < kPiece; ++i)
      if (lane * kPiece + i < f.features) q[r][i] = widened(from[(lane * kPiece + i) * f.q_strides[3]]);
  }
  const bool masked = f.kind == AttentionCall::Mask::boolean || f.kind == AttentionCall::Mask::causal;
  const bool one_for_all = f.kind == AttentionCall::Mask::boolean && f.mask_strides[1] == 0 && f.mask_strides[2] == 0;
  const auto is_met = [&](int key) {
    if (!masked) return true;
    for (int r = 0; r < (one_for_all ? 1 : rows); ++r)
      if (sees<T>(f, n, RowAt(f, with, first_row + r), first + key)) return true;
    return false;
  };
  const T* const k = reinterpret_cast<const T*>(f.k) + n * f.k_strides[0] + with * f.k_strides[1] +
                     first * f.k_strides[2] + lane * kPiece;
  const T* const v = reinterpret_cast<const T*>(f.v) + n * f.v_strides[0] + with * f.v_strides[1] +
                     first * f.v_strides[2] + lane * kPiece;
  constexpr int kStep = kGroups * kAhead;
  Piece<T> of_k[kAhead], of_v[kAhead];
  const auto load_k = [&](int base) {
#pragma unroll
    for (int u = 0; u < kAhead; ++u) {
      const int key = base + u * kGroups + of_group;
      if (key < count && lane * kPiece < f.features && is_met(key)) of_k[u].load(k + key * f.k_strides[2]);
    }
  };
  const auto load_v = [&](int base) {
#pragma unroll
    for (int u = 0; u < kAhead; ++u) {
      const int key = base + u * kGroups + of_group;
      if (key < count && lane * kPiece < f.values) of_v[u].load(v + key * f.v_strides[2]);
    }
  };
  load_k(0);
  load_v(0);
  for (int base = 0; base < count; base += kStep) {
    Piece<T> now[kAhead];
#pragma unroll
    for (int u = 0; u < kAhead; ++u) now[u] = of_k[u];
    load_k(base + kStep);
#pragma unroll
    for (int u = 0; u < kAhead; ++u) {
      const int key = base + u * kGroups + of_group;
#pragma unroll
      for (int r = 0; r < R; ++r) {
        float sum = 0;
#pragma unroll
        for (int i = 0; i < kPiece; ++i) sum = __fmaf_rn(q[r][i], now[u][i], sum);
#pragma unroll
        for (int other = kLanes / 2; other > 0; other /= 2) sum += __shfl_xor_sync(~0u, sum, other);
        if (lane == 0 && key < count) scores[r][key] = sum;
      }
    }
  }
  __syncthreads();

  for (int r = warp; r < rows; r += kFewWarps) {
    const RowAt at(f, with, first_row + r);
    float most = -FLT_MAX, total = 0;
    for (int key = threadIdx.x % 32; key < count; key += 32) {
      const float score = score_of<T>(f, n, at, first + key, scores[r][key]);
      scores[r][key] = score;
      most = score > most ? score : most;
    }
    for (int other = 16; other > 0; other /= 2) most = fmaxf(most, __shfl_xor_sync(~0u, most, other));
    for (int key = threadIdx.x % 32; key < count; key += 32) total += scores[r][key] = expf(scores[r][key] - most);
    for (int other = 16; other > 0; other /= 2) total += __shfl_xor_sync(~0u, total, other);
    if (threadIdx.x % 32 == 0) {
      const int64_t to = ((n * f.heads + at.head) * f.queries + at.query) * f.chunks + chunk;
      f.most[to] = most;
      f.total[to] = total;
    }
  }
  __syncthreads();

  float sums[R][kPiece] = {};
  for (int base = 0; base < count; base += kStep) {
    Piece<T> now[kAhead];
#pragma unroll
    for (int u = 0; u < kAhead; ++u) now[u] = of_v[u];
    load_v(base + kStep);
#pragma unroll
    for (int u = 0; u < kAhead; ++u) {
      const int key = base + u * kGroups + of_group;
      if (key >= count) break;
#pragma unroll
      for (int r = 0; r < R; ++r) {
        const float weight = r < rows ? scores[r][key] : 0;
#pragma unroll
        for (int i = 0; i < kPiece; ++i) sums[r][i] = __fmaf_rn(weight, now[u][i], sums[r][i]);
      }
    }
  }
#pragma unroll
  for (int r = 0; r < R; ++r)
#pragma unroll
    for (int i = 0; i < kPiece; ++i) {
#pragma unroll
      for (int other = kLanes; other < 32; other *= 2) sums[r][i] += __shfl_xor_sync(~0u, sums[r][i], other);
      if (threadIdx.x % 32 < kLanes) parts[warp][r][lane * kPiece + i] = sums[r][i];
    }
  __syncthreads();
  for (int r = 0; r < rows; ++r) {
    const RowAt at(f, with, first_row + r);
    const int64_t to = (((n * f.heads + at.head) * f.queries + at.query) * f.chunks + chunk) * f.values;
    for (int i = threadIdx.x; i < f.values; i += kFewThreads)
      f.sums[to + i] = (parts[0][r][i] + parts[1][r][i]) + (parts[2][r][i] + parts[3][r][i]);
  }
}

/// A block for each row of the result. Each of its warps finds out by itself what chunks count for.
template <class T>
__global__ void __launch_bounds__(kFewThreads)
    join_chunks_kernel(const __grid_constant__ Few f, T* y, float* most, float* total) {
  constexpr int kAtOnce = 16;  // chunks
  __shared__ float factors[kMostChunks];
  const int64_t row = blockIdx.x;
  const float *const of_most = f.most + row * f.chunks, *const of_total = f.total + row * f.chunks;
  const float* const of_sums = f.sums + row * f.chunks * f.values;
  const int lane = threadIdx.x % 32, column = threadIdx.x;
  float ahead[kAtOnce] = {};
  const auto load = [&](int first, int i) {
#pragma unroll
    for (int u = 0; u < kAtOnce; ++u)
      if (first + u < f.chunks && i < f.values) ahead[u] = of_sums[int64_t{first + u} * f.values + i];
  };
  load(0, column);
  float largest = -FLT_MAX;
  for (int c = lane; c < f.chunks; c += 32) largest = fmaxf(largest, of_most[c]);
  for (int other = 16; other > 0; other /= 2) largest = fmaxf(largest, __shfl_xor_sync(~0u, largest, other));
  float sink = 0;
  if (f.sinks) {
    const int64_t head = row / f.queries % f.heads, n = row / f.queries / f.heads;
    sink = reinterpret_cast<const float*>(f.sinks)[n * f.sink_strides[0] + head * f.sink_strides[1]];
    largest = sink > largest ? sink : largest;
  }
  float sum = 0;
  for (int c = lane; c < f.chunks; c += 32) {
    const float factor = expf(of_most[c] - largest);
    if (threadIdx.x < 32) factors[c] = factor;
    sum += of_total[c] * factor;
  }
  for (int other = 16; other > 0; other /= 2) sum += __shfl_xor_sync(~0u, sum, other);
  if (f.sinks) sum += expf(sink - largest);
  __syncthreads();
  for (int i = column; i < f.values; i += kFewThreads) {
    float value = 0;
    for (int first = 0; first < f.chunks; first += kAtOnce) {
      if (first > 0 || i != column) load(first, i);
#pragma unroll
      for (int u = 0; u < kAtOnce; ++u)
        if (first + u < f.chunks) value = __fmaf_rn(factors[first + u], ahead[u], value);
    }
    y[row * f.values + i] = narrowed<T>(value / sum);
  }
  if (threadIdx.x == 0) {
    most[row] = largest;
    total[row] = sum;
  }
}

template <class T, int kLanes>
void launch_rows(const Work& work, const Few& f, unsigned blocks, int rows) {
  const auto launch = [&](auto kernel) { kernel<<<blocks, kFewThreads, 0, work.stream()>>>(f); };
  if (rows == 1) return launch(few_kernel<T, kLanes, 1>);
  if (rows == 2) return launch(few_kernel<T, kLanes, 2>);
  if (rows <= 4) return launch(few_kernel<T, kLanes, 4>);
  launch(few_kernel<T, kLanes, kMostRows>);
}

template <class T>
void launch_few(const Work& work, const Few& f, unsigned blocks, int rows) {
  const int widest = std::max(f.features, f.values);
  if (widest <= 8 * kPiece) return launch_rows<T, 8>(work, f, blocks, rows);
  if (widest <= 16 * kPiece) return launch_rows<T, 16>(work, f, blocks, rows);
  launch_rows<T, 32>(work, f, blocks, rows);
}

template <class F>
void for_element(DType dtype, const F& f) {
  if (dtype == DType::float16) return f.template operator()<Half>();
  if (dtype == DType::bfloat16) return f.template operator()<BHalf>();
  f.template operator()<float>();
}

void set_strides(const TensorView& t, std::span<int64_t> strides) {  // 0 where it is one for all
  for (size_t i = 0; i < strides.size(); ++i) strides[i] = t.shape[i] == 1 ? 0 : t.strides[i];
}

bool lies_in_pieces(const TensorView& t) {
  const int64_t width = size_of(t.dtype), piece = 16 / width;
  if (t.shape[3] > 1 && t.strides[3] != 1) return false;
  for (size_t i = 0; i < 3; ++i)
    if (t.shape[i] > 1 && t.strides[i] % piece != 0) return false;
  return reinterpret_cast<uintptr_t>(t.data) % 16 == 0;
}

}  // namespace

bool is_for_few(const AttentionCall& at) {
  const DType d = at.q.dtype;
  const auto fits = [](int64_t width) { return width > 0 && width <= 32 * kPiece && width % kPiece == 0; };
  constexpr int64_t kMostOfGroup = 4 * kMostRows;
  return (is_half(d) || d == DType::float32) && at.batch * at.shared > 0 && at.queries > 0 && at.queries <= 8 &&
         at.group() > 0 && at.group() * at.queries <= kMostOfGroup && at.keys > 0 &&
         at.keys <= int64_t{kMostChunk} * kMostChunks && fits(at.features) && fits(at.values) && lies_in_pieces(at.k) &&
         lies_in_pieces(at.v) && at.batch * at.heads <= INT32_MAX / (4 * kMostChunks);
}

void attend_few(Work& work, const AttentionCall& at, const TensorView* sinks, const TensorView& y, float* most,
                float* total) {
  Few f{};
  f.q = at.q.as<const char>();
  f.k = at.k.as<const char>();
  f.v = at.v.as<const char>();
  f.mask = at.mask.as<const char>();
  set_strides(at.q, f.q_strides);
  set_strides(at.k, f.k_strides);
  set_strides(at.v, f.v_strides);
  set_strides(at.mask, f.mask_strides);
  if (sinks) {
    f.sinks = sinks->as<const char>();
    set_strides(*sinks, f.sink_strides);
  }
  f.kind = at.kind;
  f.heads = static_cast<int>(at.heads);
  f.shared = static_cast<int>(at.shared);
  f.group = static_cast<int>(at.group());
  f.queries = static_cast<int>(at.queries);
  f.features = static_cast<int>(at.features);
  f.values = static_cast<int>(at.values);
  f.keys = at.keys;
  f.scale = static_cast<float>(at.scale);
  const int64_t of_group = at.group() * at.queries;
  f.tiles = static_cast<int>((of_group + kMostRows - 1) / kMostRows);
  const int64_t items = at.batch * at.shared * f.tiles;
  const int64_t chunk = (at.keys * items / kBlocksWanted + kLeastChunk) / kLeastChunk * kLeastChunk;
  f.chunk = static_cast<int>(std::clamp<int64_t>(chunk, kLeastChunk, kMostChunk));
  f.chunk = static_cast<int>(std::max<int64_t>(f.chunk, (at.keys + kMostChunks - 1) / kMostChunks));
  f.chunks = static_cast<int>((at.keys + f.chunk - 1) / f.chunk);
  const int64_t rows = at.batch * at.heads * at.queries;
  f.sums = work.scratch<float>(rows * f.chunks * at.values);
  f.most = work.scratch<float>(rows * f.chunks);
  f.total = work.scratch<float>(rows * f.chunks);
  for_element(at.q.dtype, [&]<class T>() {
    launch_few<T>(work, f, static_cast<unsigned>(items * f.chunks),
                  static_cast<int>(std::min<int64_t>(of_group, kMostRows)));
    work.launched("attention");
    join_chunks_kernel<T><<<static_cast<unsigned>(rows), kFewThreads, 0, work.stream()>>>(f, y.as<T>(), most, total);
  });
  work.launched("attention");
}

}  // namespace plait::cuda
