// Prints how fast copies between the host and the device are: pageable memory through staging, beside pinned memory.
#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <string>
#include <thread>
#include <vector>

#include "backends/cuda/runtime/copies.h"
#include "backends/cuda/runtime/cuda.h"
#include "backends/cuda/runtime/cuda_backend.h"
#include "base/parallel.h"

namespace plait {
namespace {

constexpr int64_t kMiB = int64_t{1} << 20;

// GB/s of the middle one of some runs, with so many milliseconds before each: after some the threads of the pool are asleep.
template <class Copy>
double speed(int64_t bytes, int pause_ms, const Copy& copy) {
  std::vector<double> seconds;
  for (int run = 0; run < 15; ++run) {
    std::this_thread::sleep_for(std::chrono::milliseconds(pause_ms));
    const auto start = std::chrono::steady_clock::now();
    copy();
    seconds.push_back(std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count());
  }
  std::nth_element(seconds.begin(), seconds.begin() + 7, seconds.end());
  return static_cast<double>(bytes) / seconds[7] / 1e9;
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

  std::printf("%d threads; through staging in per cent of pinned, one copy after another / each after a pause\n",
              thread_count());
  Copies copies;
  for (int64_t bytes : {kMiB, 4 * kMiB, 8 * kMiB, 16 * kMiB, 32 * kMiB, 64 * kMiB, 128 * kMiB, most}) {
    const auto size = static_cast<size_t>(bytes);
    const double up = speed(bytes, 0, [&] {
      check_cuda(cudaMemcpyAsync(device, pinned, size, cudaMemcpyHostToDevice, queue.stream_for_use()), "copy");
      finish();
    });
    const double down = speed(bytes, 0, [&] {
      check_cuda(cudaMemcpyAsync(pinned, device, size, cudaMemcpyDeviceToHost, queue.stream_for_use()), "copy");
      finish();
    });
    double up_share[2], down_share[2];
    for (int pause_ms : {0, 2}) {
      up_share[pause_ms / 2] = 100 / up * speed(bytes, pause_ms, [&] {
                                 copies.upload(queue, device, pageable.data(), bytes);
                                 finish();
                               });
      down_share[pause_ms / 2] =
          100 / down * speed(bytes, pause_ms, [&] { copies.download(queue, pageable.data(), device, bytes); });
    }
    std::printf("%4lld MiB: up %.1f GB/s, %.0f / %.0f %%; down %.1f GB/s, %.0f / %.0f %%\n",
                static_cast<long long>(bytes / kMiB), up, up_share[0], up_share[1], down, down_share[0], down_share[1]);
  }

  int value = 0;
  const double up = speed(1000, 0, [&] {
    for (int i = 0; i < 1000; ++i) copies.upload(queue, device, &value, 4);
    finish();
  });
  const double down = speed(1000, 0, [&] {
    for (int i = 0; i < 1000; ++i) copies.download(queue, &value, device, 4);
  });
  std::printf("4 bytes: up %.2f us, down %.2f us\n", 1e-3 / up, 1e-3 / down);
  check_cuda(cudaFree(device), "memory of the device");
  check_cuda(cudaFreeHost(pinned), "pinned memory");
}

}  // namespace
}  // namespace plait
