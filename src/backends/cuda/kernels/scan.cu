// Running sums, products, extremes and linear recurrences. Elements are (outer, n, inner), scanned along n. What is joined with
// what follows from extents alone, so results are the same from run to run and from device to device.
#include <cub/block/block_exchange.cuh>
#include <cub/block/block_scan.cuh>

#include "backends/cuda/kernels/combine.cuh"
#include "backends/cuda/kernels/launch.h"
#include "backends/cuda/kernels/tables.h"

namespace plait::cuda {
namespace {

__device__ float real_of(float x) { return x; }
__device__ double real_of(double x) { return x; }
__device__ float real_of(Complex x) { return x.re; }
__device__ float exp_from(float x, float top) { return expf(x - top); }
__device__ double exp_from(double x, double top) { return exp(x - top); }
__device__ Complex exp_from(Complex x, float top) {
  const float e = expf(x.re - top);
  return {e * cosf(x.im), e * sinf(x.im)};
}
__device__ float times(float x, float y) { return x * y; }
__device__ double times(double x, double y) { return x * y; }
__device__ Complex times(Complex x, float y) { return {x.re * y, x.im * y}; }
__device__ float log_above(float top, float x) { return top + logf(x); }
__device__ double log_above(double top, double x) { return top + log(x); }
__device__ Complex log_above(float top, Complex x) { return {top + logf(hypotf(x.re, x.im)), atan2f(x.im, x.re)}; }
__device__ void put_real(float& to, float x) { to = x; }
__device__ void put_real(double& to, double x) { to = x; }
__device__ void put_real(Complex& to, float x) { to = {x, 0}; }

/// log(sum(exp)) as the largest real part so far and the sum relative to it.
template <class E>
struct LogSumExp {
  using T = E;
  using W = Wide<E>;
  using Real = std::conditional_t<std::is_same_v<W, double>, double, float>;
  struct Running {
    Real top;
    W sum;
  };
  __device__ Running start(T x) const {
    const W w = widened(x);
    Running r;
    r.top = real_of(w);
    if (isfinite(r.top))
      r.sum = exp_from(w, r.top);
    else
      put_real(r.sum, isinf(r.top) && r.top < 0 ? Real(0) : Real(1));
    return r;
  }
  __device__ Running join(Running a, Running b) const {
    if (a.top < b.top || isnan(b.top)) {
      const Running t = a;
      a = b;
      b = t;
    }
    const Real ratio = a.top == b.top ? Real(1) : exp_from(b.top, a.top);
    return {a.top, a.sum + times(b.sum, ratio)};
  }
  __device__ T value(Running r) const { return narrowed<T>(log_above(r.top, r.sum)); }
};

struct Extents {
  int64_t outer, n, inner;
  bool reverse;
  int64_t chunk;  // elements of a column scanned by one block or thread; chunks but the first go on from `carries`
  __host__ __device__ int64_t chunks() const { return (n + chunk - 1) / chunk; }
  /// Position of the j-th element scanned.
  __device__ int64_t at(int64_t j) const { return reverse ? n - 1 - j : j; }
};

constexpr int kItems = 8;
constexpr int kTile = kThreads * kItems;

// inner is 1. A block goes through a chunk of a row, tile by tile. With `totals` it keeps but the chunk's total, and skips
// the last chunk, whose total nobody needs: so all chunks are full then.
template <class S>
__global__ void __launch_bounds__(kThreads) scan_rows(S scan, const typename S::T* from, typename S::T* to, Extents e,
                                                      typename S::Running* totals, const typename S::Running* carries) {
  using T = typename S::T;
  using Running = typename S::Running;
  using Exchange = cub::BlockExchange<T, kThreads, kItems>;
  using Scan = cub::BlockScan<Running, kThreads, cub::BLOCK_SCAN_RAKING>;
  __shared__ union {
    typename Exchange::TempStorage exchange;
    typename Scan::TempStorage scan;
  } shared;
  const auto join = [scan](const Running& a, const Running& b) { return scan.join(a, b); };
  const int64_t chunks = e.chunks() - (totals ? 1 : 0);
  for (int64_t task = blockIdx.x; task < e.outer * chunks; task += gridDim.x) {
    const int64_t row = task / chunks, chunk = task - row * chunks;
    const int64_t end = min(e.n, (chunk + 1) * e.chunk);
    bool carried = carries && chunk > 0;
    Running carry{};
    if (carried) carry = carries[row * chunks + chunk - 1];
    for (int64_t begin = chunk * e.chunk; begin < end; begin += kTile) {
      T x[kItems];
#pragma unroll
      for (int k = 0; k < kItems; ++k) {
        const int64_t j = begin + k * kThreads + threadIdx.x;
        x[k] = from[row * e.n + e.at(j < end ? j : begin)];  // what stands behind the end reaches no result
      }
      Exchange(shared.exchange).StripedToBlocked(x, x);
      __syncthreads();
      Running r[kItems], total;
#pragma unroll
      for (int k = 0; k < kItems; ++k) r[k] = scan.start(x[k]);
      Scan(shared.scan).InclusiveScan(r, r, join, total);
      __syncthreads();
      if (!totals) {
#pragma unroll
        for (int k = 0; k < kItems; ++k) x[k] = scan.value(carried ? scan.join(carry, r[k]) : r[k]);
        Exchange(shared.exchange).BlockedToStriped(x, x);
#pragma unroll
        for (int k = 0; k < kItems; ++k) {
          const int64_t j = begin + k * kThreads + threadIdx.x;
          if (j < end) to[row * e.n + e.at(j)] = x[k];
        }
        __syncthreads();
      }
      carry = carried ? scan.join(carry, total) : total;
      carried = true;
    }
    if (totals && threadIdx.x == 0) totals[row * chunks + chunk] = carry;
  }
}

// A thread goes through a chunk of a column; `totals` and `carries` are (outer, chunks - 1, inner).
template <class S>
__global__ void __launch_bounds__(kThreads)
    scan_columns(S scan, const typename S::T* from, typename S::T* to, Extents e, typename S::Running* totals,
                 const typename S::Running* carries) {
  using Running = typename S::Running;
  const int64_t all = e.chunks(), chunks = all - (totals ? 1 : 0), count = e.outer * chunks * e.inner;
  for (int64_t i = blockIdx.x * int64_t{kThreads} + threadIdx.x; i < count; i += gridDim.x * int64_t{kThreads}) {
    const int64_t k = i % e.inner, chunk = i / e.inner % chunks, o = i / e.inner / chunks;
    const int64_t base = o * e.n * e.inner + k, end = min(e.n, (chunk + 1) * e.chunk);
    bool carried = carries && chunk > 0;
    Running running{};
    if (carried) running = carries[(o * (all - 1) + chunk - 1) * e.inner + k];
#pragma unroll 4
    for (int64_t j = chunk * e.chunk; j < end; ++j) {
      const int64_t at = base + e.at(j) * e.inner;
      const Running x = scan.start(from[at]);
      running = carried ? scan.join(running, x) : x;
      carried = true;
      if (!totals) to[at] = scan.value(running);
    }
    if (totals) totals[(o * chunks + chunk) * e.inner + k] = running;
  }
}

// Totals of chunks, (outer, chunks, inner), become those of all chunks up to each. Blocks take columns side by side, or,
// where there is one column, load it together.
template <class S>
__global__ void __launch_bounds__(kThreads)
    scan_totals(S scan, typename S::Running* totals, int64_t outer, int64_t chunks, int64_t inner) {
  using Running = typename S::Running;
  if (inner > 1) {
    for (int64_t i = blockIdx.x * int64_t{kThreads} + threadIdx.x; i < outer * inner;
         i += gridDim.x * int64_t{kThreads}) {
      Running* column = totals + i / inner * chunks * inner + i % inner;
      Running running = column[0];
      for (int64_t c = 1; c < chunks; ++c) column[c * inner] = running = scan.join(running, column[c * inner]);
    }
    return;
  }
  __shared__ __align__(16) char room[kThreads * sizeof(Running)];
  auto* tile = reinterpret_cast<Running*>(room);
  for (int64_t row = blockIdx.x; row < outer; row += gridDim.x) {
    Running running{};
    for (int64_t begin = 0; begin < chunks; begin += kThreads) {
      const int64_t at = begin + threadIdx.x;
      if (at < chunks) tile[threadIdx.x] = totals[row * chunks + at];
      __syncthreads();
      if (threadIdx.x == 0)
        for (int k = 0; k < kThreads && begin + k < chunks; ++k)
          tile[k] = running = begin + k > 0 ? scan.join(running, tile[k]) : tile[k];
      __syncthreads();
      if (at < chunks) totals[row * chunks + at] = tile[threadIdx.x];
      __syncthreads();
    }
  }
}

template <class S>
void run_scan(const KernelArgs& args, S scan) {
  using T = typename S::T;
  const TensorView& out = args.outputs[0];
  if (out.count() == 0) return;
  Work work(args);
  const Along along(out, static_cast<size_t>(args.attrs.get<int64_t>("axis")));
  Extents e{along.outer, along.n, along.inner, args.attrs.get<bool>("reverse"), along.n};
  const bool rows = e.inner == 1 && e.n > 32;
  constexpr int64_t kRows = 512, kColumns = 1 << 18;  // as many keep a device busy without cutting them
  if (rows && e.outer < kRows && e.n > 4 * kTile) {
    const int64_t chunks = std::min((e.n + 4 * kTile - 1) / (4 * kTile), kRows * 2 / e.outer);
    e.chunk = ((e.n + chunks - 1) / chunks + kTile - 1) / kTile * kTile;
  } else if (!rows && e.outer * e.inner < kColumns && e.n >= 128) {
    e.chunk = std::max<int64_t>(64, (e.n * e.outer * e.inner + kColumns - 1) / kColumns);
  }
  typename S::Running* totals = nullptr;
  const int64_t cut = e.chunks() - 1;
  const auto* from = args.inputs[0].as<const T>();
  const auto launch = [&](typename S::Running* to_totals, const typename S::Running* carries, int64_t chunks) {
    if (rows)
      scan_rows<<<blocks_for(e.outer * chunks, 1), kThreads, 0, work.stream()>>>(scan, from, out.as<T>(), e, to_totals,
                                                                                 carries);
    else
      scan_columns<<<blocks_for(e.outer * chunks * e.inner), kThreads, 0, work.stream()>>>(scan, from, out.as<T>(), e,
                                                                                           to_totals, carries);
  };
  if (cut > 0) {
    totals = work.scratch<typename S::Running>(e.outer * cut * e.inner);
    launch(totals, nullptr, cut);
    const unsigned blocks = e.inner > 1 ? blocks_for(e.outer * e.inner) : blocks_for(e.outer, 1);
    scan_totals<<<blocks, kThreads, 0, work.stream()>>>(scan, totals, e.outer, cut, e.inner);
  }
  launch(nullptr, totals, cut + 1);
  work.launched("scan");
}

template <bool kMultiplies>
void run_arithmetic(const KernelArgs& args) {
  dispatch_arithmetic(args.inputs[0].dtype, [&]<class T>() { run_scan(args, Arithmetic<T>{kMultiplies}); });
}
template <bool kSmallest>
void run_extreme(const KernelArgs& args) {
  const DType d = args.inputs[0].dtype;
  dispatch_width(size_of(d), [&]<class Bits>() { run_scan(args, Extreme<Bits>{KeyKind::of(d), kSmallest}); });
}
void run_log_sum_exp(const KernelArgs& args) {
  dispatch_arithmetic(args.inputs[0].dtype, [&]<class T>() {
    if constexpr (!std::is_integral_v<T> && !std::is_same_v<T, Bool>) run_scan(args, LogSumExp<T>{});
  });
}

template <class T>
__device__ Wide<T> next_value(T a, Wide<T> y, T b) {
  return sum_of<Wide<T>>(product_of<Wide<T>>(widened(a), y), widened(b));
}

// y = a * (y before) + b, a thread a column; y = b where `starts`, if given, says that a segment starts.
template <class T>
__global__ void __launch_bounds__(kThreads) recur_columns(const bool* starts, const T* a, const T* b, T* y, Extents e) {
  for (int64_t i = blockIdx.x * int64_t{kThreads} + threadIdx.x; i < e.outer * e.inner;
       i += gridDim.x * int64_t{kThreads}) {
    const int64_t base = i / e.inner * e.n * e.inner + i % e.inner;
    Wide<T> running{};
#pragma unroll 4
    for (int64_t j = 0; j < e.n; ++j) {
      const int64_t at = base + e.at(j) * e.inner;
      running = j == 0 || (starts && starts[at]) ? widened(b[at]) : next_value(a[at], running, b[at]);
      y[at] = narrowed<T>(running);
    }
  }
}

// The same along rows: the lanes of a warp load 32 elements together and go through them one after the other.
template <class T>
__global__ void __launch_bounds__(kThreads) recur_rows(const bool* starts, const T* a, const T* b, T* y, Extents e) {
  constexpr int kWarp = 32, kWarps = kThreads / kWarp;
  const int lane = threadIdx.x % kWarp;
  for (int64_t row = blockIdx.x * int64_t{kWarps} + threadIdx.x / kWarp; row < e.outer;
       row += gridDim.x * int64_t{kWarps}) {
    Wide<T> running{};
    for (int64_t begin = 0; begin < e.n; begin += kWarp) {
      const int64_t at = row * e.n + e.at(begin + lane);
      const bool inside = begin + lane < e.n;
      const T mine_a = inside ? a[at] : T{}, mine_b = inside ? b[at] : T{};
      const unsigned begins = __ballot_sync(~0u, inside && starts && starts[at]);
      Wide<T> mine{};
      for (int l = 0; l < kWarp; ++l) {
        const T x = from_lane(mine_a, l), z = from_lane(mine_b, l);
        running = begin + l == 0 || (begins >> l & 1) ? widened(z) : next_value(x, running, z);
        if (l == lane) mine = running;
      }
      if (inside) y[at] = narrowed<T>(mine);
    }
  }
}

template <bool kSegments>
void run_linear(const KernelArgs& args) {
  const TensorView& out = args.outputs[0];
  if (out.count() == 0) return;
  const Work work(args);
  const Along along(out, static_cast<size_t>(args.attrs.get<int64_t>("axis")));
  const Extents e{along.outer, along.n, along.inner, args.attrs.get<bool>("reverse"), along.n};
  dispatch_arithmetic(out.dtype, [&]<class T>() {
    if constexpr (!std::is_same_v<T, Bool>) {
      const bool* starts = kSegments ? args.inputs[0].as<const bool>() : nullptr;
      const auto *a = args.inputs[kSegments].as<const T>(), *b = args.inputs[kSegments + 1].as<const T>();
      if (e.inner == 1 && e.n > 32)
        recur_rows<<<blocks_for(e.outer * 32), kThreads, 0, work.stream()>>>(starts, a, b, out.as<T>(), e);
      else
        recur_columns<<<blocks_for(e.outer * e.inner), kThreads, 0, work.stream()>>>(starts, a, b, out.as<T>(), e);
    }
  });
  work.launched(kSegments ? "segment_scan" : "linear_scan");
}

}  // namespace

void add_scan_kernels(Table& table) {
  table.push_back({"cumsum", {.run = run_arithmetic<false>}});
  table.push_back({"cumprod", {.run = run_arithmetic<true>}});
  table.push_back({"cummax", {.run = run_extreme<false>}});
  table.push_back({"cummin", {.run = run_extreme<true>}});
  table.push_back({"logcumsumexp", {.run = run_log_sum_exp}});
  table.push_back({"linear_scan", {.run = run_linear<false>}});
  table.push_back({"segment_scan", {.run = run_linear<true>}});
}

}  // namespace plait::cuda
