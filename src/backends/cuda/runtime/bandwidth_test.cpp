// Prints how fast copies between the host and the device are: pageable memory through staging, beside pinned memory.
#include <gtest/gtest.h>

#include <chrono>
#include <cstdio>
#include <cstring>
#include <string>
#include <utility>
#include <vector>

#include "backends/cuda/runtime/copies.h"
#include "backends/cuda/runtime/cuda.h"
#include "backends/cuda/runtime/cuda_backend.h"
#include "base/parallel.h"

namespace plait {
namespace {

constexpr int64_t kMiB = int64_t{1} << 20;

// The best of some runs, in GB/s.
template <class Copy>
double speed(int64_t bytes, const Copy& copy) {
  double best = 0;
  for (int run = 0; run < 10; ++run) {
    const auto start = std::chrono::steady_clock::now();
    copy();
    const std::chrono::duration<double> time = std::chrono::steady_clock::now() - start;
    best = std::max(best, static_cast<double>(bytes) / time.count() / 1e9);
  }
  return best;
}

TEST(CudaBandwidth, PageableBesidePinned) {
  std::string why_not;
  CudaBackend* const backend = CudaBackend::instance(why_not);
  if (!backend) GTEST_SKIP() << "NO DEVICE, NOT MEASURED: " << why_not;
  StreamQueue& queue = backend->at(backend->open_queue(0));
  const int64_t most = 512 * kMiB;
  void* device = nullptr;
  void* pinned = nullptr;
  check_cuda(cudaMalloc(&device, most), "memory of the device");
  check_cuda(cudaHostAlloc(&pinned, most, cudaHostAllocDefault), "pinned memory");
  std::memset(pinned, 1, most);
  std::vector<char> pageable(most, 2);
  const auto finish = [&] { queue.finish(queue.mark()); };

  std::printf("%d threads\n", thread_count());
  const std::pair<const char*, Copies::Sizes> kinds[] = {
      {"as it is", {}},
      {"piece 128 KiB", {.piece = kMiB / 8}},
      {"least 128 KiB", {.least = kMiB / 8}},
      {"least 512 KiB", {.least = kMiB / 2}},
      {"most 4 MiB", {.most = 4 * kMiB}},
      {"window 8 MiB", {.window = 8 * kMiB}},
      {"window 32 MiB", {.window = 32 * kMiB}},
  };
  for (int64_t bytes : {kMiB / 4, kMiB, 2 * kMiB, 4 * kMiB, 8 * kMiB, 16 * kMiB, 32 * kMiB, 64 * kMiB, most}) {
    const auto size = static_cast<size_t>(bytes);
    const double up = speed(bytes, [&] {
      check_cuda(cudaMemcpyAsync(device, pinned, size, cudaMemcpyHostToDevice, queue.stream_for_use()), "copy");
      finish();
    });
    const double down = speed(bytes, [&] {
      check_cuda(cudaMemcpyAsync(pinned, device, size, cudaMemcpyDeviceToHost, queue.stream_for_use()), "copy");
      finish();
    });
    const double threads = speed(bytes, [&] {
      parallel_for(bytes, Copies::Sizes{}.piece, [&](int64_t begin, int64_t end) {
        std::memcpy(static_cast<char*>(pinned) + begin, pageable.data() + begin, static_cast<size_t>(end - begin));
      });
    });
    std::printf("%7.2f MiB pinned: up %.1f GB/s, down %.1f GB/s; the threads alone, awake: %.1f GB/s\n",
                static_cast<double>(bytes) / kMiB, up, down, threads);
    for (const auto& [name, sizes] : kinds) {
      Copies copies(sizes);
      const double through_up = speed(bytes, [&] {
        copies.upload(queue, device, pageable.data(), bytes);
        finish();
      });
      const double through_down = speed(bytes, [&] { copies.download(queue, pageable.data(), device, bytes); });
      std::printf("     %s: up %.1f GB/s (%.0f %%), down %.1f GB/s (%.0f %%)\n", name, through_up,
                  100 * through_up / up, through_down, 100 * through_down / down);
    }
  }

  Copies copies;
  int value = 0;
  const double up = speed(1000, [&] {
    for (int i = 0; i < 1000; ++i) copies.upload(queue, device, &value, 4);
    finish();
  });
  const double down = speed(1000, [&] {
    for (int i = 0; i < 1000; ++i) copies.download(queue, &value, device, 4);
  });
  std::printf("4 bytes: up %.2f us, down %.2f us\n", 1e-3 / up, 1e-3 / down);
  check_cuda(cudaFree(device), "memory of the device");
  check_cuda(cudaFreeHost(pinned), "pinned memory");
}

}  // namespace
}  // namespace plait
