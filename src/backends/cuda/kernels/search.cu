// Positions of the largest and the smallest: the first of equal elements, and the first NaN over all numbers.
#include "backends/cuda/kernels/element.cuh"
#include "backends/cuda/kernels/launch.h"
#include "backends/cuda/kernels/tables.h"

namespace plait::cuda {
namespace {

template <class Bits>
struct Best {
  Bits key;
  uint32_t at;
  __device__ void take(Best b) {
    if (b.key > key || (b.key == key && b.at < at)) *this = b;
  }
};

struct Search {
  int64_t outer, n, inner;
  int64_t piece;  // elements of a column that one block searches
  KeyKind kind;
  bool smallest;
};

// A block searches a piece of `kAcross` neighbouring columns, or of one where there are no neighbours. Several pieces of
// a column leave what they found in `found`, (outer, pieces, inner), which a second launch searches.
template <class Bits, int kAcross>
__global__ void __launch_bounds__(kThreads)
    search(const Bits* from, uint32_t* to, Best<Bits>* found, const Best<Bits>* pieces_found, Search s) {
  constexpr int kDown = kThreads / kAcross;
  __shared__ Best<Bits> best[kDown][kAcross];
  const int x = threadIdx.x % kAcross, y = threadIdx.x / kAcross;
  const int64_t pieces = (s.n + s.piece - 1) / s.piece, lanes = (s.inner + kAcross - 1) / kAcross;
  for (int64_t task = blockIdx.x; task < s.outer * pieces * lanes; task += gridDim.x) {
    const int64_t lane = task % lanes, piece = task / lanes % pieces, o = task / lanes / pieces;
    const int64_t k = lane * kAcross + x;
    Best<Bits> mine{0, UINT32_MAX};
    if (k < s.inner) {
      const int64_t base = o * s.n * s.inner + k, end = min(s.n, (piece + 1) * s.piece);
      for (int64_t j = piece * s.piece + y; j < end; j += kDown) {
        if (pieces_found) {
          mine.take(pieces_found[base + j * s.inner]);
        } else {
          const Bits key = key_of(from[base + j * s.inner], s.kind);
          mine.take({s.smallest ? turned_key(key, s.kind.has_nan()) : key, static_cast<uint32_t>(j)});
        }
      }
    }
    best[y][x] = mine;
    __syncthreads();
    for (int half = kDown / 2; half > 0; half /= 2) {
      if (y < half) best[y][x].take(best[y + half][x]);
      __syncthreads();
    }
    if (y == 0 && k < s.inner) {
      if (found)
        found[(o * pieces + piece) * s.inner + k] = best[0][x];
      else
        to[o * s.inner + k] = best[0][x].at;
    }
    __syncthreads();
  }
}

template <bool kSmallest>
void run(const KernelArgs& args) {
  const TensorView& in = args.inputs[0];
  if (in.count() == 0) return;
  const Along e(in, static_cast<size_t>(args.attrs.get<int64_t>("axis")));
  Work work(args);
  dispatch_width(size_of(in.dtype), [&]<class Bits>() {
    const auto launch = [&]<int kAcross>() {
      const int64_t columns = e.outer * ((e.inner + kAcross - 1) / kAcross);
      Search s{e.outer, e.n, e.inner, e.n, KeyKind::of(in.dtype), kSmallest};
      constexpr int64_t kPiece = 8192, kEnough = 1024;  // blocks that fill a device
      Best<Bits>* found = nullptr;
      if (columns < kEnough && e.n >= 2 * kPiece) {
        s.piece = std::max(kPiece, (e.n * columns + kEnough - 1) / kEnough);
        found = work.scratch<Best<Bits>>(e.outer * e.inner * ((e.n + s.piece - 1) / s.piece));
      }
      const int64_t pieces = (e.n + s.piece - 1) / s.piece;
      auto* to = args.outputs[0].as<uint32_t>();
      search<Bits, kAcross>
          <<<blocks_for(columns * pieces, 1), kThreads, 0, work.stream()>>>(in.as<const Bits>(), to, found, nullptr, s);
      if (found) {
        s.n = s.piece = pieces;
        search<Bits, kAcross><<<blocks_for(columns, 1), kThreads, 0, work.stream()>>>(nullptr, to, nullptr, found, s);
      }
      work.launched("argmax");
    };
    if (e.inner == 1)
      launch.template operator()<1>();
    else
      launch.template operator()<32>();
  });
}

}  // namespace

void add_search_kernels(Table& table) {
  table.push_back({"argmax", {.run = run<false>}});
  table.push_back({"argmin", {.run = run<true>}});
}

}  // namespace plait::cuda
