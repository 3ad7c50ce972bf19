// Sorting rows of the last axis: short ones by a block each, long ones over the whole device.
#include <cub/block/block_radix_sort.cuh>

#include "backends/cuda/kernels/element.cuh"
#include "backends/cuda/kernels/radix.h"
#include "backends/cuda/kernels/sort_rows.cuh"
#include "backends/cuda/kernels/tables.h"

namespace plait::cuda {
namespace {

// Places behind the row's end hold the largest key; as sorting is stable they stay behind equal ones.
template <class Key, int kBlock, int kItems>
__global__ void __launch_bounds__(kBlock) sort_in_block(Rows rows) {
  using Sort = cub::BlockRadixSort<Key, kBlock, kItems, uint32_t>;
  __shared__ typename Sort::TempStorage storage;
  for (int64_t row = blockIdx.x; row < rows.rows; row += gridDim.x) {
    Key keys[kItems];
    uint32_t at[kItems];
    for (int k = 0; k < kItems; ++k) {
      at[k] = threadIdx.x * kItems + k;
      keys[k] = at[k] < rows.n ? static_cast<Key>(rows.key(row * rows.n + at[k])) : static_cast<Key>(~Key{0});
    }
    Sort(storage).SortBlockedToStriped(keys, at, 0, 8 * rows.width);
    for (int k = 0; k < kItems; ++k) {
      const int64_t j = threadIdx.x + k * kBlock;
      if (j < rows.n) rows.put(row, j, keys[k], at[k]);
    }
    __syncthreads();
  }
}

template <class Key>
__global__ void __launch_bounds__(kThreads)
    make_keys(Rows rows, int64_t begin, int64_t count, int row_shift, Key* keys, uint32_t* values) {
  for (int64_t i = blockIdx.x * int64_t{kThreads} + threadIdx.x; i < count; i += gridDim.x * int64_t{kThreads}) {
    const int64_t row = row_shift ? i / rows.n : 0;
    u64 key = rows.key(begin + i);
    if (row_shift) key |= static_cast<u64>(row) << row_shift;
    keys[i] = static_cast<Key>(key);
    if (values) values[i] = static_cast<uint32_t>(i - row * rows.n);
  }
}

template <class Key>
__global__ void __launch_bounds__(kThreads)
    put_sorted(Rows rows, int64_t begin, int64_t count, const Key* keys, const uint32_t* values) {
  for (int64_t i = blockIdx.x * int64_t{kThreads} + threadIdx.x; i < count; i += gridDim.x * int64_t{kThreads}) {
    const int64_t row = (begin + i) / rows.n;
    rows.put(row, begin + i - row * rows.n, keys[i], values ? values[i] : 0);
  }
}

// Rows from `begin` on, all at once; their number stands above the key where there are several.
template <class Key>
void sort_over_device(Work& work, const Rows& rows, SortRoom<Key>& room, int64_t begin, int64_t count) {
  const int64_t of = count / rows.n;
  const int shift = of > 1 ? 8 * rows.width : 0;
  make_keys<<<blocks_for(count), kThreads, 0, work.stream()>>>(rows, begin, count, shift, room.keys, room.values);
  radix_sort(work, room, count, 8 * rows.width + (of > 1 ? bits_below(static_cast<uint64_t>(of)) : 0));
  put_sorted<<<blocks_for(count), kThreads, 0, work.stream()>>>(rows, begin, count, room.keys, room.values);
  work.launched("sort");
}

template <class Key>
void sort_short(const Work& work, const Rows& rows) {
  const unsigned blocks = blocks_for(rows.rows, 1);
  if (rows.n <= 128)
    sort_in_block<Key, 32, 4><<<blocks, 32, 0, work.stream()>>>(rows);
  else if (rows.n <= 512)
    sort_in_block<Key, 128, 4><<<blocks, 128, 0, work.stream()>>>(rows);
  else
    sort_in_block<Key, 256, 16><<<blocks, 256, 0, work.stream()>>>(rows);
  work.launched("sort");
}

void sort_rows(Work& work, const Rows& rows) {
  constexpr int64_t kShort = 4096;
  if (rows.n <= kShort) return rows.width <= 4 ? sort_short<uint32_t>(work, rows) : sort_short<u64>(work, rows);
  if (rows.width <= 4 && rows.rows == 1) {
    auto room = SortRoom<uint32_t>::of(work, rows.n, !rows.by_key());
    return sort_over_device(work, rows, room, 0, rows.n);
  }
  const int64_t step = rows.width <= 4 ? rows.count() : rows.n;
  auto room = SortRoom<u64>::of(work, step, !rows.by_key());
  for (int64_t begin = 0; begin < rows.count(); begin += step) sort_over_device(work, rows, room, begin, step);
}

Rows rows_of(const KernelArgs& args) {
  const TensorView& in = args.inputs[0];
  Rows rows;
  rows.from = in.data;
  rows.width = size_of(in.dtype);
  rows.kind = KeyKind::of(in.dtype);
  rows.n = in.shape.back();
  rows.rows = rows.n == 0 ? 0 : in.count() / rows.n;
  return rows;
}

void sort(const KernelArgs& args) {
  Rows rows = rows_of(args);
  rows.elements = args.outputs[0].data;
  if (rows.count() == 0) return;
  Work work(args);
  sort_rows(work, rows);
}

void argsort(const KernelArgs& args) {
  Rows rows = rows_of(args);
  rows.positions = args.outputs[0].as<uint32_t>();
  if (rows.count() == 0) return;
  Work work(args);
  sort_rows(work, rows);
}

void top_positions(const KernelArgs& args) {
  Rows rows = rows_of(args);
  rows.positions = args.outputs[0].as<uint32_t>();
  rows.first = rows.n - args.outputs[0].shape.back();
  if (rows.count() == 0 || rows.first == rows.n) return;
  Work work(args);
  if (!select_top(work, rows)) sort_rows(work, rows);
}

// Every row of values (..., m) is looked up in a row of its own of sorted (..., n), or all of them in the only row.
template <class Bits>
__global__ void __launch_bounds__(kThreads)
    search_sorted(const Bits* sorted, const Bits* values, uint32_t* to, int64_t n, int64_t each, int64_t count,
                  KeyKind kind, bool right) {
  for (int64_t i = blockIdx.x * int64_t{kThreads} + threadIdx.x; i < count; i += gridDim.x * int64_t{kThreads}) {
    const Bits* row = sorted + i / each * n;
    const Bits x = key_of(values[i], kind);
    int64_t low = 0, high = n;
    while (low < high) {
      const int64_t middle = low + (high - low) / 2;
      const Bits at = key_of(row[middle], kind);
      if (right ? at <= x : at < x)
        low = middle + 1;
      else
        high = middle;
    }
    to[i] = static_cast<uint32_t>(low);
  }
}

void searchsorted(const KernelArgs& args) {
  const TensorView &sorted = args.inputs[0], &values = args.inputs[1];
  const int64_t n = sorted.shape.back(), count = values.count();
  if (count == 0) return;
  int64_t rows = 1;
  for (int i = 0; i + 1 < sorted.rank(); ++i) rows *= sorted.shape[static_cast<size_t>(i)];
  const Work work(args);
  dispatch_width(size_of(sorted.dtype), [&]<class Bits>() {
    search_sorted<<<blocks_for(count), kThreads, 0, work.stream()>>>(
        sorted.as<const Bits>(), values.as<const Bits>(), args.outputs[0].as<uint32_t>(), n, count / rows, count,
        KeyKind::of(sorted.dtype), args.attrs.get<bool>("right"));
  });
  work.launched("searchsorted");
}

}  // namespace

void add_sort_kernels(Table& table) {
  table.push_back({"sort", {.run = sort}});
  table.push_back({"argsort", {.run = argsort}});
  table.push_back({"top_positions", {.run = top_positions}});
  table.push_back({"searchsorted", {.run = searchsorted}});
}

}  // namespace plait::cuda
