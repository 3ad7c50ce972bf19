// Prints how fast copies between the host and the device are: pageable memory through staging, beside pinned memory.
#include <gtest/gtest.h>

#include <chrono>
#include <cstdio>
#include <cstring>
#include <string>
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
  for (int64_t bytes : {kMiB / 4, kMiB, 4 * kMiB, 16 * kMiB, 64 * kMiB, most}) {
    const auto size = static_cast<size_t>(bytes);
    const double up = speed(bytes, [&] {
      check_cuda(cudaMemcpyAsync(device, pinned, size, cudaMemcpyHostToDevice, queue.stream_for_use()), "copy");
      finish();
    });
    const double down = speed(bytes, [&] {
      check_cuda(cudaMemcpyAsync(pinned, device, size, cudaMemcpyDeviceToHost, queue.stream_for_use()), "copy");
      finish();
    });
    std::printf("%7.2f MiB pinned: up %.1f GB/s, down %.1f GB/s\n", static_cast<double>(bytes) / kMiB, up, down);
    for (const Copies::Sizes& sizes :
         {Copies::Sizes{}, Copies::Sizes{.chunk = 4 * kMiB}, Copies::Sizes{.chunk = 16 * kMiB},
          Copies::Sizes{.piece = kMiB / 8}, Copies::Sizes{.piece = kMiB / 2}}) {
      Copies copies(sizes);
      const double through_up = speed(bytes, [&] {
        copies.upload(queue, device, pageable.data(), bytes);
        finish();
      });
      const double through_down = speed(bytes, [&] { copies.download(queue, pageable.data(), device, bytes); });
      std::printf("     chunk %2.0f, piece %.3f: up %.1f GB/s (%.0f %%), down %.1f GB/s (%.0f %%)\n",
                  static_cast<double>(sizes.chunk) / kMiB, static_cast<double>(sizes.piece) / kMiB, through_up,
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
