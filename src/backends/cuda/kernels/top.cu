// The few largest of long rows: their least is found digit by digit, then those from it on are collected and sorted.
#include "backends/cuda/kernels/sort_rows.cuh"

namespace plait::cuda {
namespace {

constexpr int kBlock = 512, kMost = 1024, kDigits = 256;

// An element and its place: of equal keys the later one counts as larger, so that no two are equal.
struct Candidate {
  u64 key;
  uint32_t at;
  __device__ bool operator<(const Candidate& b) const { return key < b.key || (key == b.key && at < b.at); }
};

struct Selection {
  int counts[kDigits];
  int wanted;  // of those whose digits so far are `prefix`
  int inside;  // how many have them
  u64 prefix;
};

// One digit further: `digits(i, known, digit)` says whether element i has the digits known so far, and its next one.
template <class Digits>
__device__ void find_digit(Selection& s, int64_t n, Digits digits) {
  for (int d = threadIdx.x; d < kDigits; d += kBlock) s.counts[d] = 0;
  __syncthreads();
  for (int64_t begin = 0; begin < n; begin += kBlock) {
    const int64_t i = begin + threadIdx.x;
    int digit = 0;
    const bool known = i < n && digits(i, s.prefix, digit);
    const unsigned lanes = __ballot_sync(0xFFFFFFFF, known);
    if (!known) continue;
    const unsigned same = __match_any_sync(lanes, digit);
    if (__ffs(same) - 1 == static_cast<int>(threadIdx.x % 32)) atomicAdd(&s.counts[digit], __popc(same));
  }
  __syncthreads();
  if (threadIdx.x == 0) {
    int digit = kDigits - 1;
    while (s.counts[digit] < s.wanted) s.wanted -= s.counts[digit--];
    s.prefix = s.prefix << 8 | static_cast<unsigned>(digit);
    s.inside = s.counts[digit];
  }
  __syncthreads();
}

__global__ void __launch_bounds__(kBlock) select(Rows rows) {
  __shared__ Selection s;
  __shared__ Candidate found[kMost];
  __shared__ int count;
  const int k = static_cast<int>(rows.n - rows.first);
  int room = 1;
  while (room < k) room *= 2;
  for (int64_t row = blockIdx.x; row < rows.rows; row += gridDim.x) {
    const int64_t base = row * rows.n;
    if (threadIdx.x == 0) {
      s.wanted = k;
      s.inside = -1;
      s.prefix = 0;
      count = 0;
    }
    __syncthreads();
    int shift = 8 * rows.width;
    while (shift > 0 && s.wanted != s.inside) {
      shift -= 8;
      find_digit(s, rows.n, [&](int64_t i, u64 prefix, int& digit) {
        const u64 key = rows.key(base + i);
        digit = static_cast<int>(key >> shift & 0xFF);
        return shift + 8 >= 64 ? true : key >> (shift + 8) == prefix;
      });
    }
    Candidate least{s.prefix << shift, 0};
    if (s.wanted != s.inside) {  // more are equal to the least than are wanted: the later ones are
      const u64 key = s.prefix;
      __syncthreads();
      if (threadIdx.x == 0) s.prefix = 0;
      __syncthreads();
      int place = 32;
      while (place > 0 && s.wanted != s.inside) {
        place -= 8;
        find_digit(s, rows.n, [&](int64_t i, u64 prefix, int& digit) {
          digit = static_cast<int>(i >> place & 0xFF);
          return (place == 24 || static_cast<u64>(i) >> (place + 8) == prefix) && rows.key(base + i) == key;
        });
      }
      least = {key, static_cast<uint32_t>(s.prefix << place)};
    }
    for (int64_t i = threadIdx.x; i < rows.n; i += kBlock) {
      const Candidate c{rows.key(base + i), static_cast<uint32_t>(i)};
      if (!(c < least)) found[atomicAdd(&count, 1)] = c;
    }
    for (int i = k + threadIdx.x; i < room; i += kBlock) found[i] = {~u64{0}, UINT32_MAX};
    __syncthreads();
    for (int size = 2; size <= room; size *= 2)  // bitonic: what order they were found in does not matter
      for (int step = size / 2; step > 0; step /= 2) {
        for (int i = threadIdx.x; i < room; i += kBlock) {
          const int j = i ^ step;
          if (j > i && (found[j] < found[i]) == ((i & size) == 0)) {
            const Candidate c = found[i];
            found[i] = found[j];
            found[j] = c;
          }
        }
        __syncthreads();
      }
    for (int i = threadIdx.x; i < k; i += kBlock) rows.positions[row * k + i] = found[i].at;
    __syncthreads();
  }
}

}  // namespace

bool select_top(const Work& work, const Rows& rows) {
  constexpr int64_t kShortest = 2048, kLongest = 1 << 20;  // shorter rows are sorted by a block, longer ones by all
  if (rows.n < kShortest || rows.n > kLongest || rows.n - rows.first > kMost) return false;
  select<<<blocks_for(rows.rows, 1), kBlock, 0, work.stream()>>>(rows);
  work.launched("top_positions");
  return true;
}

}  // namespace plait::cuda
