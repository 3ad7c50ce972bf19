// Writing to places that may repeat. Each target has one owner, who takes in its updates in their order: results are those
// of the reference, but for sums and products of 16-bit floats, which are rounded once.
#include "backends/cuda/kernels/combine.cuh"
#include "backends/cuda/kernels/positions.cuh"
#include "backends/cuda/kernels/radix.h"
#include "backends/cuda/kernels/tables.h"

namespace plait::cuda {
namespace {

// As ScatterMode counts them.
enum Mode : int { kSet, kAdd, kMultiply, kMaximum, kMinimum };

template <class Bits>
struct Replace {
  using T = Bits;
  using Running = Bits;
  __device__ Running start(T x) const { return x; }
  __device__ Running join(Running, Running later) const { return later; }
  __device__ T value(Running r) const { return r; }
};
template <class C>
inline constexpr bool kLastOnly = false;
template <class Bits>
inline constexpr bool kLastOnly<Replace<Bits>> = true;

template <class F>
void dispatch_mode(int64_t mode, DType dtype, F&& f) {
  if (mode == kAdd || mode == kMultiply) {
    dispatch_arithmetic(dtype, [&]<class T>() { f(Arithmetic<T>{mode == kMultiply}); });
  } else {
    dispatch_width(size_of(dtype), [&]<class Bits>() {
      if (mode == kSet)
        f(Replace<Bits>{});
      else
        f(Extreme<Bits>{KeyKind::of(dtype), mode == kMinimum});
    });
  }
}

/// Updates (outer, m, inner, rest) to rows of a target (outer, n, inner, rest).
struct Places {
  int64_t outer, n, m, inner, rest;
  __host__ __device__ int64_t updates() const { return outer * m * inner; }
  __host__ __device__ int64_t targets() const { return outer * n * inner; }
};

// For few updates (inner is 1): a block for each, which goes on if no earlier one has the same target.
constexpr int kFew = 1024, kFewThreads = 128;

template <class C>
__global__ void __launch_bounds__(kFewThreads)
    scatter_few(C combine, typename C::T* to, const typename C::T* update, Positions at, Places d) {
  __shared__ int64_t rows[kFew];
  const int m = static_cast<int>(d.m);
  for (int64_t task = blockIdx.x; task < d.outer * m; task += gridDim.x) {
    const int64_t o = task / m;
    const int i = static_cast<int>(task - o * m);
    for (int j = threadIdx.x; j < m; j += kFewThreads) rows[j] = at(o * m + j);
    __syncthreads();
    const int64_t row = rows[i];
    bool taken = row < 0;
    const int begin = kLastOnly<C> ? i + 1 : 0, end = kLastOnly<C> ? m : i;
    for (int j = begin + threadIdx.x; j < end; j += kFewThreads) taken = taken || rows[j] == row;
    if (!__syncthreads_or(taken)) {
      typename C::T* target = to + (o * d.n + row) * d.rest;
      const typename C::T* source = update + o * m * d.rest;
      for (int64_t k = blockIdx.y * int64_t{kFewThreads} + threadIdx.x; k < d.rest; k += gridDim.y * kFewThreads) {
        auto running = combine.start(target[k]);
        if constexpr (kLastOnly<C>) {
          running = combine.start(source[i * d.rest + k]);
        } else {
          for (int j = i; j < m; ++j)
            if (rows[j] == row) running = combine.join(running, combine.start(source[j * d.rest + k]));
        }
        target[k] = combine.value(running);
      }
    }
    __syncthreads();
  }
}

// For many columns: a thread each, which takes in one update after the other.
template <class C>
__global__ void __launch_bounds__(kThreads)
    scatter_columns(C combine, typename C::T* to, const typename C::T* update, Positions at, Places d) {
  const int64_t columns = d.outer * d.inner;
  for (int64_t c = blockIdx.x * int64_t{kThreads} + threadIdx.x; c < columns; c += gridDim.x * int64_t{kThreads}) {
    const int64_t o = c / d.inner, k = c - o * d.inner;
    for (int64_t i = 0; i < d.m; ++i) {
      const int64_t from = (o * d.m + i) * d.inner + k, row = at(from);
      if (row < 0) continue;
      typename C::T& target = to[(o * d.n + row) * d.inner + k];
      target = combine.value(combine.join(combine.start(target), combine.start(update[from])));
    }
  }
}

// Else updates are sorted by their targets; those outside come last, as `targets`.
__global__ void __launch_bounds__(kThreads) find_targets(Positions at, Places d, u64* keys, uint32_t* updates) {
  const int64_t count = d.updates();
  for (int64_t i = blockIdx.x * int64_t{kThreads} + threadIdx.x; i < count; i += gridDim.x * int64_t{kThreads}) {
    const int64_t row = at(i), group = i / d.inner, k = i - group * d.inner;
    keys[i] = static_cast<u64>(row < 0 ? d.targets() : (group / d.m * d.n + row) * d.inner + k);
    updates[i] = static_cast<uint32_t>(i);
  }
}

template <class C>
__global__ void __launch_bounds__(kThreads) scatter_long_rows(C combine, typename C::T* to, const typename C::T* update,
                                                              const u64* keys, const uint32_t* updates, Places d) {
  const int64_t count = d.updates(), work = count * d.rest;
  const auto outside = static_cast<u64>(d.targets());
  for (int64_t i = blockIdx.x * int64_t{kThreads} + threadIdx.x; i < work; i += gridDim.x * int64_t{kThreads}) {
    const int64_t first = i / d.rest, k = i - first * d.rest;
    const u64 key = keys[first];
    if (key == outside || (first > 0 && keys[first - 1] == key)) continue;
    typename C::T& target = to[static_cast<int64_t>(key) * d.rest + k];
    const typename C::T* source = update + k;
    auto running = combine.start(target);
    int64_t at = first;
    for (; at + 4 <= count && keys[at + 3] == key; at += 4) {  // four loads on their way at once
      typename C::T x[4];
#pragma unroll
      for (int u = 0; u < 4; ++u) x[u] = source[updates[at + u] * d.rest];
#pragma unroll
      for (int u = 0; u < 4; ++u) running = combine.join(running, combine.start(x[u]));
    }
    for (; at < count && keys[at] == key; ++at)
      running = combine.join(running, combine.start(source[updates[at] * d.rest]));
    target = combine.value(running);
  }
}

// Short rows: the lanes of a warp load the updates of one target together, and take them in one after the other.
template <class C>
__global__ void __launch_bounds__(kThreads)
    scatter_short_rows(C combine, typename C::T* to, const typename C::T* update, const u64* keys,
                       const uint32_t* updates, Places d) {
  constexpr int kWarp = 32, kWarps = kThreads / kWarp;
  const int64_t count = d.updates(), work = count * d.rest;
  const auto outside = static_cast<u64>(d.targets());
  const int lane = threadIdx.x % kWarp;
  for (int64_t i = blockIdx.x * int64_t{kWarps} + threadIdx.x / kWarp; i < work; i += gridDim.x * int64_t{kWarps}) {
    const int64_t first = i / d.rest, k = i - first * d.rest;
    const u64 key = keys[first];
    if (key == outside || (first > 0 && keys[first - 1] == key)) continue;
    typename C::T& target = to[static_cast<int64_t>(key) * d.rest + k];
    auto running = combine.start(target);
    for (int64_t at = first;; at += kWarp) {
      const bool mine = at + lane < count && keys[at + lane] == key;
      const int here = __popc(__ballot_sync(0xFFFFFFFF, mine));
      const typename C::T x = mine ? update[updates[at + lane] * d.rest + k] : typename C::T{};
      for (int l = kLastOnly<C> && here ? here - 1 : 0; l < here; ++l)
        running = combine.join(running, combine.start(from_lane(x, l)));
      if (here < kWarp) break;
    }
    __syncwarp();
    if (lane == 0) target = combine.value(running);
  }
}

template <class C>
void scatter_sorted(Work& work, C combine, typename C::T* to, const typename C::T* update, const Positions& at,
                    const Places& d) {
  const int64_t count = d.updates();
  auto room = SortRoom<u64>::of(work, count, true);
  find_targets<<<blocks_for(count), kThreads, 0, work.stream()>>>(at, d, room.keys, room.values);
  radix_sort(work, room, count, bits_below(static_cast<uint64_t>(d.targets()) + 1));
  if (d.rest >= 32)
    scatter_long_rows<<<blocks_for(count * d.rest), kThreads, 0, work.stream()>>>(combine, to, update, room.keys,
                                                                                  room.values, d);
  else
    scatter_short_rows<<<blocks_for(count * d.rest * 32), kThreads, 0, work.stream()>>>(combine, to, update, room.keys,
                                                                                        room.values, d);
}

void scatter(const KernelArgs& args, const Places& d, int64_t mode) {
  if (d.updates() == 0) return;
  Work work(args);
  const TensorView &out = args.outputs[0], &update = args.inputs[2];
  const Positions at(args, args.inputs[1], d.n);
  dispatch_mode(mode, out.dtype, [&]<class C>(C combine) {
    using T = typename C::T;
    auto* to = out.as<T>();
    const auto* from = update.as<const T>();
    if (d.inner == 1 && d.m <= kFew && (d.rest > 1 || d.m <= 32)) {
      const auto across = static_cast<unsigned>(std::clamp<int64_t>(d.rest / (4 * kFewThreads), 1, 64));
      const dim3 grid(blocks_for(d.outer * d.m, 1), across);
      scatter_few<<<grid, kFewThreads, 0, work.stream()>>>(combine, to, from, at, d);
    } else if (d.rest == 1 && (d.outer * d.inner >= 1 << 15 || d.m <= 64)) {
      scatter_columns<<<blocks_for(d.outer * d.inner), kThreads, 0, work.stream()>>>(combine, to, from, at, d);
    } else {
      scatter_sorted<C>(work, combine, to, from, at, d);
    }
  });
  work.launched("scatter");
}

// Output 0 holds a copy of a: (batch, n, rest); at (batch, m), update (batch, m, rest).
void run_scatter(const KernelArgs& args) {
  const Along e(args.outputs[0], static_cast<size_t>(args.attrs.get<int64_t>("batch")));
  const int64_t m = args.inputs[1].shape[static_cast<size_t>(args.attrs.get<int64_t>("batch"))];
  scatter(args, {e.outer, e.n, m, 1, e.inner}, args.attrs.get<int64_t>("mode"));
}

void run_put_along(const KernelArgs& args) {
  const auto axis = static_cast<size_t>(args.attrs.get<int64_t>("axis"));
  const Along e(args.outputs[0], axis);
  scatter(args, {e.outer, e.n, args.inputs[1].shape[axis], e.inner, 1}, args.attrs.get<bool>("adds") ? kAdd : kSet);
}

bool takes(const KernelArgs& args) { return args.inputs[1].count() <= UINT32_MAX; }

}  // namespace

void add_scatter_kernels(Table& table) {
  table.push_back(
      {"scatter_rows", {.run = run_scatter, .output_aliases_input0 = true, .checks_positions = true, .takes = takes}});
  table.push_back({"put_along_axis",
                   {.run = run_put_along, .output_aliases_input0 = true, .checks_positions = true, .takes = takes}});
}

}  // namespace plait::cuda
