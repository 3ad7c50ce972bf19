#include <algorithm>
#include <complex>
#include <cstddef>
#include <limits>

#include "backends/cpu/order.h"
#include "backends/cpu/radix_sort.h"
#include "backends/cpu/scratch.h"
#include "backends/cpu/sort_key.h"
#include "backends/kernel.h"
#include "base/dispatch.h"
#include "base/parallel.h"
#include "memory/buffer.h"

namespace plait {
namespace {

constexpr int64_t kSortGrain = 8192;  // elements worth a thread

/// Calls body(number of the row) for every row; rows of at least kRadixChunk elements go one after another, each on all threads.
template <class F>
void each_row(int64_t rows, int64_t n, F body) {
  if (n >= cpu::kRadixChunk) {
    for (int64_t r = 0; r < rows; ++r) body(r);
    return;
  }
  parallel_for(rows, std::max<int64_t>(1, kSortGrain / n), [&](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r) body(r);
  });
}

/// Calls body(items, spare) with room for n items each. Large room comes from the cache of freed arrays, whose pages are there.
template <class Item, class F>
void with_room(int64_t n, F body) {
  if (n >= cpu::kRadixChunk) {
    const Ref<Buffer> items = allocate(n * static_cast<int64_t>(sizeof(Item))),
                      spare = allocate(n * static_cast<int64_t>(sizeof(Item)));
    body(static_cast<Item*>(items->data()), static_cast<Item*>(spare->data()));
  } else {
    cpu::Scratch scratch;
    Item* const items = scratch.take<Item>(n);
    body(items, scratch.take<Item>(n));
  }
}

/// The order of complex numbers is no order of bits; they are left to the plain kernel.
template <class F>
void dispatch_keyed(const KernelArgs& args, F body) {
  dispatch(args.inputs[0].dtype, [&]<class T>() {
    if constexpr (std::is_same_v<T, std::complex<float>>) {
      kernels().find(args.op, Backend::reference)->run(args);
    } else {
      body.template operator()<T>();
    }
  });
}

void sort(const KernelArgs& args) {
  const TensorView& in = args.inputs[0];
  const int64_t n = in.shape.back();
  if (in.count() == 0) return;
  dispatch_keyed(args, [&]<class T>() {
    using Map = cpu::SortKey<T>;
    using Key = typename Map::Key;
    each_row(in.count() / n, n, [&](int64_t r) {
      const T* from = in.as<T>() + r * n;
      T* to = args.outputs[0].as<T>() + r * n;
      with_room<Key>(n, [&](Key* items, Key* spare) {
        for (int64_t i = 0; i < n; ++i) items[i] = Map::of(from[i]);
        cpu::radix_sort(items, spare, n);
        for (int64_t i = 0; i < n; ++i) to[i] = Map::back(items[i]);
      });
    });
  });
}

void argsort(const KernelArgs& args) {
  const TensorView& in = args.inputs[0];
  const int64_t n = in.shape.back();
  if (in.count() == 0) return;
  dispatch_keyed(args, [&]<class T>() {
    using Map = cpu::SortKey<T>;
    using Item = cpu::Keyed<typename Map::Key>;
    each_row(in.count() / n, n, [&](int64_t r) {
      const T* from = in.as<T>() + r * n;
      uint32_t* to = args.outputs[0].as<uint32_t>() + r * n;
      with_room<Item>(n, [&](Item* items, Item* spare) {
        for (int64_t i = 0; i < n; ++i) items[i] = {Map::equal_as_number(Map::of(from[i])), static_cast<uint32_t>(i)};
        cpu::radix_sort(items, spare, n);
        for (int64_t i = 0; i < n; ++i) to[i] = items[i].at;
      });
    });
  });
}

// The k largest of a row: candidates are collected until there are twice as many as wanted, then the smaller half goes and what
// remains says how large the next one has to be. Nearly all elements are turned down by one comparison.
void top_of_row(const cpu::OrderKernels& order, const void* row, int64_t n, int64_t k, uint32_t* to) {
  cpu::Scratch scratch;
  const int64_t room = 2 * k + cpu::kOrderRoom;
  cpu::OrderItem* const items = scratch.take<cpu::OrderItem>(room);
  cpu::OrderSearch search{.row = row,
                          .n = n,
                          .begin = 0,
                          .least = std::numeric_limits<int64_t>::min(),
                          .items = items,
                          .count = 0,
                          .room = room};
  for (;;) {
    order.collect(search);
    if (search.begin == n) break;
    std::nth_element(items, items + (search.count - k), items + search.count);
    std::copy(items + (search.count - k), items + search.count, items);
    search.count = k;
    search.least = items[0].key;  // an equal one that comes later is the larger
  }
  std::nth_element(items, items + (search.count - k), items + search.count);
  std::sort(items + (search.count - k), items + search.count);
  for (int64_t i = 0; i < k; ++i) to[i] = items[search.count - k + i].at;
}

void top_positions(const KernelArgs& args) {
  const TensorView& in = args.inputs[0];
  const int64_t n = in.shape.back(), k = args.outputs[0].shape.back();
  if (k == 0 || in.count() == 0) return;
  if (in.dtype == DType::complex64) return kernels().find(args.op, Backend::reference)->run(args);
  const cpu::OrderKernels& order = cpu::order_kernels(in.dtype);
  parallel_for(in.count() / n, std::max<int64_t>(1, kSortGrain / n), [&](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r)
      top_of_row(order, in.as<std::byte>() + r * n * size_of(in.dtype), n, k, args.outputs[0].as<uint32_t>() + r * k);
  });
}

}  // namespace

void register_cpu_kernels_sort(KernelTable& table) {
  table.add("sort", Backend::cpu, {.run = sort});
  table.add("argsort", Backend::cpu, {.run = argsort});
  table.add("top_positions", Backend::cpu, {.run = top_positions});
}

}  // namespace plait
