#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <cstring>
#include <numeric>
#include <string>
#include <thread>
#include <vector>

#include "backends/cuda/runtime/cuda.h"
#include "backends/cuda/runtime/cuda_backend.h"
#include "base/interrupt.h"
#include "plait/error.h"

namespace plait {
namespace {

using memory::Mark;
using memory::Queue;

constexpr int64_t kMiB = int64_t{1} << 20;

__global__ void spin(long long ns) {
  unsigned long long start, now;
  asm volatile("mov.u64 %0, %%globaltimer;" : "=l"(start));
  do {
    asm volatile("mov.u64 %0, %%globaltimer;" : "=l"(now));
  } while (now - start < static_cast<unsigned long long>(ns));
}

__global__ void fill(int* data, long long count, int value) {
  for (long long i = blockIdx.x * 256ll + threadIdx.x; i < count; i += gridDim.x * 256ll) data[i] = value;
}

__global__ void write_to(int* nowhere) { *nowhere = 1; }

using Clock = std::chrono::steady_clock;
double ms_since(Clock::time_point start) {
  return std::chrono::duration<double, std::milli>(Clock::now() - start).count();
}

std::vector<unsigned char> pattern(int64_t bytes, int seed) {
  std::vector<unsigned char> data(static_cast<size_t>(bytes));
  for (size_t i = 0; i < data.size(); ++i)
    data[i] = static_cast<unsigned char>(i * 31 + i / 997 + static_cast<size_t>(seed));
  return data;
}

class CudaRuntime : public testing::Test {
 protected:
  void SetUp() override {
    std::string why_not;
    backend = CudaBackend::instance(why_not);
    if (!backend) GTEST_SKIP() << "NO DEVICE, NOT TESTED: " << why_not;
    queue = backend->open_queue(0);
  }

  void spin_ms(Queue on, int ms) {
    spin<<<1, 1, 0, stream_of(on)>>>(ms * 1'000'000ll);
    check_cuda(cudaGetLastError(), "launch of spin");
  }
  void fill_with(Queue on, void* data, int64_t bytes, int value) {
    fill<<<64, 256, 0, stream_of(on)>>>(static_cast<int*>(data), bytes / 4, value);
    check_cuda(cudaGetLastError(), "launch of fill");
  }
  void upload_value(Queue on, void* data, int64_t bytes, int value) {
    const std::vector<int> from(static_cast<size_t>(bytes / 4), value);
    backend->upload(on, data, from.data(), bytes);
  }
  std::vector<int> downloaded(Mark after, const void* data, int64_t bytes) {
    std::vector<int> to(static_cast<size_t>(bytes / 4), -1);
    backend->download(after, to.data(), data, bytes);
    return to;
  }
  bool all_are(Mark after, const void* data, int64_t bytes, int value) {
    for (int found : downloaded(after, data, bytes))
      if (found != value) return false;
    return true;
  }

  CudaBackend* backend = nullptr;
  Queue queue = 0;
};

TEST_F(CudaRuntime, TellsWhatTheDeviceIs) {
  EXPECT_EQ(backend->name(), "cuda");
  EXPECT_FALSE(backend->info(0).name.empty());
  EXPECT_EQ(backend->info(0).architecture.substr(0, 3), "sm_");
  EXPECT_GT(backend->info(0).memory_bytes, 1000 * kMiB);
  EXPECT_EQ(backend->device_of(queue), 0);
  EXPECT_THROW(backend->info(1000), DeviceError);
  EXPECT_THROW(backend->open_queue(1000), DeviceError);
  EXPECT_THROW(backend->mark(4000), DeviceError);
}

TEST_F(CudaRuntime, BytesComeBackAsTheyWent) {
  for (int64_t bytes :
       {int64_t{0}, int64_t{1}, int64_t{4095}, 16 * 1024 + int64_t{1}, kMiB - 1, 4 * kMiB, 64 * kMiB + 3}) {
    const auto from = pattern(bytes, 1);
    std::vector<unsigned char> to(static_cast<size_t>(bytes) + 1, 77);
    void* const data = backend->allocate(queue, bytes);
    void* const twin = backend->allocate(queue, bytes);
    ASSERT_EQ(reinterpret_cast<uintptr_t>(data) % 256, 0u);
    backend->upload(queue, data, from.data(), bytes);
    backend->copy(queue, twin, data, bytes);
    backend->download(backend->mark(queue), to.data(), twin, bytes);
    EXPECT_TRUE(bytes == 0 || std::memcmp(from.data(), to.data(), from.size()) == 0) << bytes;
    EXPECT_EQ(to.back(), 77) << bytes;
    backend->release(queue, data);
    backend->release(queue, twin);
  }
}

TEST_F(CudaRuntime, SourceMayChangeOnceUploadReturns) {
  for (int64_t bytes : {int64_t{4096}, 40 * kMiB}) {
    spin_ms(queue, 20);
    void* const data = backend->allocate(queue, bytes);
    std::vector<int> from(static_cast<size_t>(bytes / 4), 5);
    backend->upload(queue, data, from.data(), bytes);
    std::fill(from.begin(), from.end(), 6);
    EXPECT_TRUE(all_are(backend->mark(queue), data, bytes, 5));
    backend->release(queue, data);
  }
}

TEST_F(CudaRuntime, ReusedMemoryIsWrittenAfterItsLastUse) {
  for (int64_t bytes : {int64_t{4096}, 3 * kMiB, 40 * kMiB})
    for (bool marked : {false, true}) {
      void* const before = backend->allocate(queue, bytes);
      spin_ms(queue, 30);
      fill_with(queue, before, bytes, 1);
      backend->release(queue, before);
      if (marked) backend->mark(queue);
      void* const after = backend->allocate(queue, bytes);
      ASSERT_EQ(after, before);
      upload_value(queue, after, bytes, 2);
      EXPECT_TRUE(all_are(backend->mark(queue), after, bytes, 2)) << bytes << " " << marked;
      spin_ms(queue, 30);  // and in use, with something enqueued since
      fill_with(queue, after, bytes, 3);
      upload_value(queue, after, bytes, 4);
      EXPECT_TRUE(all_are(backend->mark(queue), after, bytes, 4)) << bytes << " " << marked;
      backend->release(queue, after);
    }
}

TEST_F(CudaRuntime, UploadsIntoNewMemoryRunBesideKernels) {
  const int64_t bytes = 20 * kMiB;
  const std::vector<int> from(static_cast<size_t>(bytes / 4), 9);
  const Queue warm = backend->open_queue(0);
  void* const first = backend->allocate(warm, bytes);
  backend->upload(warm, first, from.data(), bytes);
  backend->finish(backend->mark(warm));
  backend->release(warm, first);
  spin_ms(queue, 400);
  const Mark busy = backend->mark(queue);
  void* const data = backend->allocate(queue, bytes);
  const auto start = Clock::now();
  backend->upload(queue, data, from.data(), bytes);
  EXPECT_LT(ms_since(start), 200);
  EXPECT_FALSE(backend->reached(busy));
  EXPECT_TRUE(all_are(backend->mark(queue), data, bytes, 9));
  backend->release(queue, data);
}

TEST_F(CudaRuntime, DownloadsWaitForTheirMarkOnly) {
  for (int64_t bytes : {int64_t{4096}, 8 * kMiB}) {
    void* const data = backend->allocate(queue, bytes);
    fill_with(queue, data, bytes, 11);
    const Mark filled = backend->mark(queue);
    downloaded(filled, data, bytes);  // pins memory
    spin_ms(queue, 400);
    const Mark busy = backend->mark(queue);
    const auto start = Clock::now();
    EXPECT_TRUE(all_are(filled, data, bytes, 11));
    EXPECT_LT(ms_since(start), 200);
    EXPECT_FALSE(backend->reached(busy));
    backend->finish(busy);
    backend->release(queue, data);
  }
}

TEST_F(CudaRuntime, QueuesWaitForEachOther) {
  const Queue other = backend->open_queue(0);
  const int64_t bytes = kMiB;
  void* const data = backend->allocate(queue, bytes);
  void* const result = backend->allocate(other, bytes);
  EXPECT_TRUE(backend->reached({queue, 0}));
  spin_ms(queue, 50);
  fill_with(queue, data, bytes, 5);
  const Mark filled = backend->mark(queue);
  EXPECT_FALSE(backend->reached(filled));
  backend->wait(other, filled);
  backend->wait(queue, filled);  // its own: nothing to do
  backend->copy(other, result, data, bytes);
  const Mark copied = backend->mark(other);
  EXPECT_TRUE(all_are(copied, result, bytes, 5));
  EXPECT_TRUE(backend->reached(filled));
  EXPECT_TRUE(backend->reached(copied));
  backend->wait(queue, copied);
  backend->release(queue, data);
  backend->release(other, result);
  EXPECT_THROW(backend->reached({queue, 1'000'000'000}), InternalError);
}

TEST_F(CudaRuntime, ManyMarksNobodyAsksAbout) {
  std::vector<Mark> marks;
  const auto start = Clock::now();
  for (int i = 0; i < 20000; ++i) marks.push_back(backend->mark(queue));
  std::printf("mark: %.0f ns\n", ms_since(start) * 1e6 / 20000);
  backend->finish(marks.back());
  for (const Mark& mark : marks) ASSERT_TRUE(backend->reached(mark));
  for (size_t i = 1; i < marks.size(); ++i) ASSERT_EQ(marks[i].at, marks[i - 1].at + 1);
}

TEST_F(CudaRuntime, StatisticsAndLimits) {
  backend->clear_cache(0);
  const auto before = backend->stats(0);
  backend->reset_peak(0);
  void* const data = backend->allocate(queue, 100 * kMiB);
  EXPECT_EQ(backend->stats(0).active, before.active + 100 * kMiB);
  EXPECT_EQ(backend->stats(0).peak, before.active + 100 * kMiB);
  backend->release(queue, data);
  EXPECT_EQ(backend->stats(0).active, before.active);
  EXPECT_EQ(backend->stats(0).cached, before.cached + 100 * kMiB);
  backend->clear_cache(0);
  EXPECT_EQ(backend->stats(0).cached, before.cached);

  backend->set_limit(0, before.active + 50 * kMiB);
  try {
    backend->allocate(queue, 100 * kMiB);
    ADD_FAILURE() << "past the limit";
  } catch (const OutOfMemory& error) {
    EXPECT_NE(std::string(error.what()).find(std::to_string(100 * kMiB) + " bytes (100.0 MiB) asked"),
              std::string::npos)
        << error.what();
  }
  void* const fits = backend->allocate(queue, 50 * kMiB);
  backend->set_limit(0, 0);
  backend->set_cache_limit(0, 0);
  backend->release(queue, fits);
  EXPECT_EQ(backend->stats(0).cached, 0);
  backend->set_cache_limit(0, INT64_MAX);
}

TEST_F(CudaRuntime, OutOfMemoryAndBack) {
  std::vector<void*> held;
  const int64_t step = 4096 * kMiB;
  EXPECT_THROW(for (;;) held.push_back(backend->allocate(queue, step)), OutOfMemory);
  ASSERT_GE(held.size(), 2u);
  void* const small = backend->allocate(queue, 1000);  // what is left serves the small
  backend->release(queue, small);
  for (void* data : held) backend->release(queue, data);
  // The cache is full of blocks that are too small, and of another queue: they go.
  const Queue other = backend->open_queue(0);
  void* const large = backend->allocate(other, static_cast<int64_t>(held.size() - 1) * step);
  fill_with(other, large, kMiB, 3);
  EXPECT_TRUE(all_are(backend->mark(other), large, kMiB, 3));
  backend->release(other, large);
  backend->clear_cache(0);
}

TEST_F(CudaRuntime, ManyThreads) {
  std::atomic<int> wrong{0};
  std::vector<std::thread> threads;
  for (int t = 0; t < 12; ++t)
    threads.emplace_back([&, t] {
      // Two in three have a queue of their own.
      const Queue mine = t % 3 ? backend->open_queue(0) : queue;
      for (int round = 0; round < 20; ++round) {
        const int64_t bytes = (round % 4 == 0 ? 9 * kMiB : 4096) + 4 * t;
        void* const data = backend->allocate(mine, bytes);
        const int value = t * 1000 + round;
        if (round % 2) {
          fill_with(mine, data, bytes, value);
        } else {
          upload_value(mine, data, bytes, value);
        }
        if (!all_are(backend->mark(mine), data, bytes, value)) ++wrong;
        backend->release(mine, data);
      }
    });
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(wrong, 0);
}

TEST_F(CudaRuntime, WaitsAnswerInterrupts) {
  spin_ms(queue, 1500);
  const Mark busy = backend->mark(queue);
  set_interrupt_hook([] { throw Interrupted({.op = "interrupt"}); });
  const auto start = Clock::now();
  EXPECT_THROW(backend->finish(busy), Interrupted);
  set_interrupt_hook(nullptr);
  EXPECT_LT(ms_since(start), 500);
  backend->finish(busy);
}

TEST_F(CudaRuntime, InterruptedUploadsDisturbNobody) {
  const int64_t bytes = 200 * kMiB;
  const std::vector<int> from(static_cast<size_t>(bytes / 4), 1);
  void* const data = backend->allocate(queue, bytes);
  set_interrupt_hook([] { throw Interrupted({.op = "interrupt"}); });
  EXPECT_THROW(for (int i = 0; i < 100; ++i) backend->upload(queue, data, from.data(), bytes), Interrupted);
  set_interrupt_hook(nullptr);
  backend->release(queue, data);
  void* const next = backend->allocate(queue, bytes);
  EXPECT_EQ(next, data);
  fill_with(queue, next, bytes, 2);
  EXPECT_TRUE(all_are(backend->mark(queue), next, bytes, 2));
  backend->release(queue, next);
  backend->clear_cache(0);
}

// The child of a fork is told; the parent goes on.
TEST_F(CudaRuntime, ForkedChildrenAreTold) {
  void* const data = backend->allocate(queue, 4096);
  const pid_t child = ::fork();
  if (child == 0) {
    int told = 0;
    const auto refused = [&](auto call) {
      try {
        call();
      } catch (const DeviceError&) {
        ++told;
      } catch (...) {}
    };
    refused([&] { backend->allocate(queue, 4096); });
    refused([&] { backend->mark(queue); });
    refused([&] { backend->open_queue(0); });
    refused([&] { stream_of(queue); });
    refused([&] { backend->upload(queue, data, &told, 4); });
    refused([&] { backend->clear_cache(0); });
    backend->release(queue, data);
    ::_exit(told == 6 ? 0 : 10 + told);
  }
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  EXPECT_TRUE(WIFEXITED(status));
  EXPECT_EQ(WEXITSTATUS(status), 0);
  fill_with(queue, data, 4096, 8);
  EXPECT_TRUE(all_are(backend->mark(queue), data, 4096, 8));
  backend->release(queue, data);
}

// In a process of its own, started anew.
class CudaFault : public CudaRuntime {
 protected:
  void SetUp() override {
    CudaRuntime::SetUp();
    GTEST_FLAG_SET(death_test_style, "threadsafe");
  }

  int errors_after_a_fault() {
    void* const data = backend->allocate(queue, 40 * kMiB);
    write_to<<<1, 1, 0, stream_of(queue)>>>(reinterpret_cast<int*>(16));
    int told = 0;
    const auto refused = [&](auto call) {
      try {
        call();
        std::fprintf(stderr, "no error\n");
      } catch (const DeviceError& error) {
        std::fprintf(stderr, "%s\n", error.what());
        told += error.info().op == "device fault";
      } catch (const std::exception& error) {
        std::fprintf(stderr, "another error: %s\n", error.what());
      }
    };
    Mark mark;
    refused([&] { mark = backend->mark(queue), backend->finish(mark); });
    refused([&] { backend->allocate(queue, 500 * kMiB); });
    refused([&] { backend->finish(mark); });
    refused([&] { upload_value(queue, data, 40 * kMiB, 1); });
    refused([&] { downloaded({queue, 0}, data, 40 * kMiB); });
    refused([&] { stream_of(queue); });
    refused([&] { backend->open_queue(0); });
    refused([&] { backend->clear_cache(0); });
    backend->release(queue, data);
    backend->stats(0);
    return told == 8 ? 0 : 10 + told;
  }
};

TEST_F(CudaFault, IsAnErrorOfEveryLaterCallAndTheProcessGoesOn) {
  EXPECT_EXIT(std::exit(errors_after_a_fault()), testing::ExitedWithCode(0), "device fault");
}

TEST_F(CudaFault, ProcessesEndWithWorkUnderway) {
  EXPECT_EXIT(
      {
        backend->allocate(queue, 4096);
        spin_ms(queue, 200);
        std::exit(0);
      },
      testing::ExitedWithCode(0), "");
}

}  // namespace
}  // namespace plait
