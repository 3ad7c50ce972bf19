#include <cfloat>

#include "backends/cuda/kernels/attention_rows.h"
#include "backends/cuda/kernels/element.cuh"

namespace plait::cuda {
namespace {

/// What a kernel has to know of a mask, sinks and extents.
struct Rows {
  AttentionCall::Mask kind;
  int64_t heads, queries, keys, first, count, total;
  const char* mask;
  int64_t mask_strides[4];  // 0 where it is one for all
  const char* sinks;  // null: none
  int64_t sink_strides[2];
  double scale;
};

Rows rows_of(const AttentionCall& at, const TensorView* sinks, const ScoreRows& rows) {
  Rows r{at.kind,
         at.heads,
         at.queries,
         at.keys,
         rows.first,
         rows.count,
         at.batch * at.heads * rows.count,
         at.mask.as<const char>(),
         {},
         nullptr,
         {},
         at.scale};
  for (size_t i = 0; i < 4; ++i) r.mask_strides[i] = at.mask.shape[i] == 1 ? 0 : at.mask.strides[i];
  if (!sinks) return r;
  r.sinks = sinks->as<const char>();
  for (size_t i = 0; i < 2; ++i) r.sink_strides[i] = sinks->shape[i] == 1 ? 0 : sinks->strides[i];
  return r;
}

template <class W>
__device__ W lowest() {
  return sizeof(W) == 8 ? static_cast<W>(-DBL_MAX) : static_cast<W>(-FLT_MAX);
}

/// One row: where it is, and its scores with what the mask says.
template <class T>
struct Row {
  using W = Wide<T>;
  int64_t n, head, query, of_result;
  const Rows& r;

  __device__ Row(const Rows& r, int64_t row) : r(r) {
    query = r.first + row % r.count;
    head = row / r.count % r.heads;
    n = row / r.count / r.heads;
    of_result = (n * r.heads + head) * r.queries + query;
  }
  __device__ int64_t mask_at(int64_t key) const {
    return n * r.mask_strides[0] + head * r.mask_strides[1] + query * r.mask_strides[2] + key * r.mask_strides[3];
  }
  __device__ bool sees(int64_t key) const {
    if (r.kind == AttentionCall::Mask::causal) return key < query + r.keys - r.queries + 1;
    if (r.kind == AttentionCall::Mask::boolean) return r.mask[mask_at(key)] != 0;
    return true;
  }
  __device__ W score(T x, int64_t key) const {
    if (!sees(key)) return lowest<W>();
    W s = widened(x) * static_cast<W>(r.scale);
    if (r.kind == AttentionCall::Mask::added) s += widened(reinterpret_cast<const T*>(r.mask)[mask_at(key)]);
    return s;
  }
  __device__ W sink() const {
    return reinterpret_cast<const W*>(r.sinks)[n * r.sink_strides[0] + head * r.sink_strides[1]];
  }
};

template <class W>
struct Softmax {
  W most, total;
};
// A sum of exponentials below `most`, which may be -inf where nothing was met.
template <class W>
__device__ Softmax<W> joined(Softmax<W> a, Softmax<W> b) {
  const W most = a.most > b.most ? a.most : b.most;
  W total = 0;
  if (a.total != 0) total += a.total * exp(a.most - most);
  if (b.total != 0) total += b.total * exp(b.most - most);
  return {most, total};
}

constexpr int kRowThreads = 128;

// A block for each row.
template <class T>
__global__ void __launch_bounds__(kRowThreads) weigh_kernel(Rows r, T* scores, Wide<T>* most, Wide<T>* total) {
  using W = Wide<T>;
  __shared__ Softmax<W> parts[kRowThreads];
  for (int64_t i = blockIdx.x; i < r.total; i += gridDim.x) {
    const Row<T> row(r, i);
    T* const x = scores + i * r.keys;
    Softmax<W> mine{lowest<W>(), 0};
    for (int64_t key = threadIdx.x; key < r.keys; key += kRowThreads) {
      const W s = row.score(x[key], key);
      if (s > mine.most) {
        mine.total = mine.total * exp(mine.most - s) + 1;
        mine.most = s;
      } else {
        mine.total += exp(s - mine.most);
      }
    }
    parts[threadIdx.x] = mine;
    __syncthreads();
    for (int half = kRowThreads / 2; half > 0; half /= 2) {
      if (threadIdx.x < half) parts[threadIdx.x] = joined(parts[threadIdx.x], parts[threadIdx.x + half]);
      __syncthreads();
    }
    Softmax<W> all = parts[0];
    if (r.sinks) all = joined(all, Softmax<W>{row.sink(), 1});
    __syncthreads();
    for (int64_t key = threadIdx.x; key < r.keys; key += kRowThreads)
      x[key] = narrowed<T>(exp(row.score(x[key], key) - all.most) / all.total);
    if (threadIdx.x == 0) {
      most[row.of_result] = all.most;
      total[row.of_result] = all.total;
    }
  }
}

/// Numbers of rows, (N, heads, L) of any strides.
template <class W>
struct Numbers {
  const W* data;
  int64_t strides[3];
  template <class R>
  __device__ W operator()(const R& row) const {
    return data[row.n * strides[0] + row.head * strides[1] + row.query * strides[2]];
  }
};
template <class W>
Numbers<W> numbers_of(const TensorView& t) {
  return {t.as<const W>(), {t.strides[0], t.strides[1], t.strides[2]}};
}

template <class T>
__global__ void __launch_bounds__(kRowThreads) weigh_back_kernel(Rows r, T* scores, T* changes, Numbers<Wide<T>> most,
                                                                 Numbers<Wide<T>> total, Numbers<Wide<T>> delta) {
  using W = Wide<T>;
  for (int64_t i = blockIdx.x; i < r.total; i += gridDim.x) {
    const Row<T> row(r, i);
    const W m = most(row), t = total(row), d = delta(row);
    for (int64_t key = threadIdx.x; key < r.keys; key += kRowThreads) {
      const int64_t at = i * r.keys + key;
      const W p = exp(row.score(scores[at], key) - m) / t;
      scores[at] = narrowed<T>(p);
      changes[at] = narrowed<T>(row.sees(key) ? p * (widened(changes[at]) - d) * static_cast<W>(r.scale) : W{0});
    }
  }
}

__global__ void __launch_bounds__(kThreads) join_kernel(Rows r, Numbers<float> most, Numbers<float> total, float* to) {
  for (int64_t i = blockIdx.x * int64_t{kThreads} + threadIdx.x; i < r.total; i += gridDim.x * int64_t{kThreads}) {
    const Row<Half> row(r, i);
    to[i] = most(row) + log(total(row));
  }
}

template <class T>
__global__ void __launch_bounds__(kThreads) add_kernel(Wide<T>* to, const T* from, int64_t count) {
  for (int64_t i = blockIdx.x * int64_t{kThreads} + threadIdx.x; i < count; i += gridDim.x * int64_t{kThreads})
    to[i] += widened(from[i]);
}
template <class T>
__global__ void __launch_bounds__(kThreads) narrow_kernel(T* to, const Wide<T>* from, int64_t count) {
  for (int64_t i = blockIdx.x * int64_t{kThreads} + threadIdx.x; i < count; i += gridDim.x * int64_t{kThreads})
    to[i] = narrowed<T>(from[i]);
}

template <class F>
void for_floats(DType dtype, const F& f) {
  switch (dtype) {
    case DType::float16: return f.template operator()<Half>();
    case DType::bfloat16: return f.template operator()<BHalf>();
    case DType::float64: return f.template operator()<double>();
    default: return f.template operator()<float>();
  }
}

unsigned row_blocks(const Rows& r) { return static_cast<unsigned>(std::clamp<int64_t>(r.total, 1, 1 << 20)); }

}  // namespace

void weigh_rows(const Work& work, const AttentionCall& at, const TensorView* sinks, const ScoreRows& rows, void* most,
                void* total) {
  const Rows r = rows_of(at, sinks, rows);
  for_floats(at.q.dtype, [&]<class T>() {
    weigh_kernel<T><<<row_blocks(r), kRowThreads, 0, work.stream()>>>(
        r, static_cast<T*>(rows.scores), static_cast<Wide<T>*>(most), static_cast<Wide<T>*>(total));
  });
  work.launched("attention");
}

void weigh_rows_back(const Work& work, const AttentionCall& at, const ScoreRows& rows, void* changes,
                     const TensorView& most, const TensorView& total, const TensorView& delta) {
  const Rows r = rows_of(at, nullptr, rows);
  for_floats(at.q.dtype, [&]<class T>() {
    using W = Wide<T>;
    weigh_back_kernel<T><<<row_blocks(r), kRowThreads, 0, work.stream()>>>(
        r, static_cast<T*>(rows.scores), static_cast<T*>(changes), numbers_of<W>(most), numbers_of<W>(total),
        numbers_of<W>(delta));
  });
  work.launched("attention_vjp");
}

void join_sums(const Work& work, const AttentionCall& at, const TensorView& most, const TensorView& total, float* to) {
  const Rows r = rows_of(at, nullptr, {0, at.queries, nullptr});
  join_kernel<<<blocks_for(r.total), kThreads, 0, work.stream()>>>(r, numbers_of<float>(most), numbers_of<float>(total),
                                                                   to);
  work.launched("attention_vjp");
}

void add_widened(const Work& work, DType dtype, void* to, const void* from, int64_t count) {
  for_floats(dtype, [&]<class T>() {
    add_kernel<T><<<blocks_for(count), kThreads, 0, work.stream()>>>(static_cast<Wide<T>*>(to),
                                                                     static_cast<const T*>(from), count);
  });
  work.launched("attention_vjp");
}

void store_narrowed(const Work& work, DType dtype, void* to, const void* from, int64_t count) {
  for_floats(dtype, [&]<class T>() {
    narrow_kernel<T><<<blocks_for(count), kThreads, 0, work.stream()>>>(static_cast<T*>(to),
                                                                        static_cast<const Wide<T>*>(from), count);
  });
  work.launched("attention_vjp");
}

}  // namespace plait::cuda
