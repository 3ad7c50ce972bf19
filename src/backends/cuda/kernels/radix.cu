#include <cub/device/device_radix_sort.cuh>

#include "backends/cuda/kernels/radix.h"

namespace plait::cuda {
namespace {

template <class Key>
void sort(Work& work, SortRoom<Key>& room, int64_t n, int bits) {
  cub::DoubleBuffer<Key> keys(room.keys, room.spare_keys);
  cub::DoubleBuffer<uint32_t> values(room.values, room.spare_values);
  const auto run = [&](void* temporary, size_t& bytes) {
    check_cuda(room.values ? cub::DeviceRadixSort::SortPairs(temporary, bytes, keys, values, n, 0, bits, work.stream())
                           : cub::DeviceRadixSort::SortKeys(temporary, bytes, keys, n, 0, bits, work.stream()),
               "sort");
  };
  size_t bytes = 0;
  run(nullptr, bytes);
  run(work.scratch<char>(static_cast<int64_t>(bytes)), bytes);
  room = {keys.Current(), values.Current(), keys.Alternate(), values.Alternate()};
}

}  // namespace

void radix_sort(Work& work, SortRoom<uint32_t>& room, int64_t n, int bits) { sort(work, room, n, bits); }
void radix_sort(Work& work, SortRoom<unsigned long long>& room, int64_t n, int bits) { sort(work, room, n, bits); }

}  // namespace plait::cuda
