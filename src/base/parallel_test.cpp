#include "base/parallel.h"

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <numeric>
#include <set>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "base/interrupt.h"

namespace plait {
namespace {

class Parallel : public testing::TestWithParam<int> {
 protected:
  void SetUp() override { set_thread_count(GetParam()); }
  void TearDown() override { set_thread_count(0); }
};
INSTANTIATE_TEST_SUITE_P(Threads, Parallel, testing::Values(1, 2, 3, 8));

int64_t sum_in_parallel(int64_t count, int64_t grain) {
  std::atomic<int64_t> sum{0};
  parallel_for(count, grain, [&](int64_t begin, int64_t end) {
    int64_t part = 0;
    for (int64_t i = begin; i < end; ++i) part += i;
    sum += part;
  });
  return sum;
}

TEST_P(Parallel, CutsAtMultiplesOfTheGrain) {
  for (const int64_t count : {0, 1, 5, 64, 1000, 1001}) {
    for (const int64_t grain : {1, 3, 64, 5000}) {
      std::vector<std::atomic<int>> seen(static_cast<size_t>(count));
      parallel_for(count, grain, [&](int64_t begin, int64_t end) {
        EXPECT_EQ(begin % grain, 0);
        EXPECT_EQ(end, std::min(begin + grain, count));
        for (int64_t i = begin; i < end; ++i) ++seen[static_cast<size_t>(i)];
      });
      for (const auto& times : seen) ASSERT_EQ(times, 1);
    }
  }
}

TEST_P(Parallel, ManySmallRegions) {
  for (int i = 0; i < 20000; ++i) ASSERT_EQ(sum_in_parallel(16, 2), 120);
}

TEST_P(Parallel, RegionsAfterAPauseFindParkedWorkers) {
  for (int i = 0; i < 20; ++i) {
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
    ASSERT_EQ(sum_in_parallel(1000, 10), 499500);
  }
}

TEST_P(Parallel, NestedRegionsRunInline) {
  std::atomic<int64_t> sum{0};
  parallel_for(20, 1, [&](int64_t, int64_t) {
    const std::thread::id outer = std::this_thread::get_id();
    parallel_for(50, 7, [&](int64_t begin, int64_t end) {
      EXPECT_EQ(std::this_thread::get_id(), outer);
      sum += end - begin;
    });
  });
  EXPECT_EQ(sum, 1000);
}

TEST_P(Parallel, WorkerIndexIsUniqueInARegion) {
  for (int round = 0; round < 50; ++round) {
    std::vector<std::atomic<int>> inside(static_cast<size_t>(thread_count()));
    parallel_for(64, 1, [&](int64_t, int64_t) {
      ASSERT_LT(worker_index(), thread_count());
      EXPECT_EQ(inside[static_cast<size_t>(worker_index())]++, 0);
      std::this_thread::sleep_for(std::chrono::microseconds(5));
      --inside[static_cast<size_t>(worker_index())];
    });
  }
  EXPECT_EQ(worker_index(), 0);
}

TEST_P(Parallel, FirstExceptionReachesTheCaller) {
  for (int round = 0; round < 200; ++round) {
    std::atomic<int> ran{0};
    try {
      parallel_for(100000, 1, [&](int64_t begin, int64_t) {
        ++ran;
        if (begin % 50 == 7) throw std::runtime_error("chunk " + std::to_string(begin));
      });
      FAIL();
    } catch (const std::runtime_error& error) {
      EXPECT_EQ(std::string(error.what()).substr(0, 6), "chunk ");
    }
    EXPECT_LT(ran, 100000);
    ASSERT_EQ(sum_in_parallel(100, 3), 4950);
  }
}

TEST_P(Parallel, SeveralCallersShareTheWorkers) {
  std::vector<std::thread> callers;
  for (int t = 0; t < 6; ++t) {
    callers.emplace_back([t] {
      for (int i = 0; i < 2000; ++i) {
        ASSERT_EQ(sum_in_parallel(100 + t, 1 + i % 9), (100 + t) * (99 + t) / 2);
        if (i % 100 == t) {
          EXPECT_THROW(parallel_for(9, 1, [](int64_t, int64_t) { throw 1; }), int);
        }
      }
    });
  }
  for (auto& caller : callers) caller.join();
}

TEST_P(Parallel, MoreCallersThanSlots) {
  std::vector<std::thread> callers;
  for (int t = 0; t < 100; ++t) {
    callers.emplace_back([] {
      for (int i = 0; i < 20; ++i) ASSERT_EQ(sum_in_parallel(100, 1), 4950);
    });
  }
  for (auto& caller : callers) caller.join();
}

TEST(ParallelThreads, CountChangesWhileRegionsRun) {
  std::atomic<bool> stop{false};
  std::thread changer([&] {
    for (int n = 1; !stop; n = n % 6 + 1) {
      set_thread_count(n);
      std::this_thread::yield();
    }
  });
  for (int i = 0; i < 5000; ++i) ASSERT_EQ(sum_in_parallel(100, 1), 4950);
  stop = true;
  changer.join();
  set_thread_count(0);
  EXPECT_GE(thread_count(), 1);
}

TEST(ParallelThreads, SeveralThreadsReallyTakePart) {
  set_thread_count(4);
  std::atomic<int> inside{0}, most{0};
  parallel_for(4, 1, [&](int64_t, int64_t) {
    const int now = ++inside;
    int seen = most;
    while (seen < now && !most.compare_exchange_weak(seen, now)) {}
    for (int i = 0; i < 20'000 && most < 4; ++i) std::this_thread::sleep_for(std::chrono::milliseconds(1));
    --inside;
  });
  EXPECT_EQ(most, 4);
  set_thread_count(0);
}

// ThreadSanitizer cannot follow threads that a child starts after a fork with several threads.
#if !defined(__SANITIZE_THREAD__)
int exit_code_of_child(void (*body)()) {
  const pid_t child = ::fork();
  if (child == 0) {
    ::alarm(20);  // a hang becomes a signal
    body();
    ::_exit(testing::Test::HasFailure() ? 1 : 0);
  }
  int status = 0;
  ::waitpid(child, &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : 1000 + WTERMSIG(status);
}

void use_pool_in_child() {
  for (int i = 0; i < 100; ++i) ASSERT_EQ(sum_in_parallel(1000, 3), 499500);
}

TEST(ParallelFork, ChildUsesThePool) {
  set_thread_count(3);
  sum_in_parallel(1000, 1);
  EXPECT_EQ(exit_code_of_child(use_pool_in_child), 0);
  EXPECT_EQ(sum_in_parallel(1000, 1), 499500);
}

TEST(ParallelFork, WhileOtherThreadsAreBusy) {
  set_thread_count(3);
  std::atomic<bool> stop{false};
  std::vector<std::thread> callers;
  for (int t = 0; t < 2; ++t) {
    callers.emplace_back([&] {
      while (!stop) sum_in_parallel(1000, 7);
    });
  }
  for (int i = 0; i < 30; ++i) EXPECT_EQ(exit_code_of_child(use_pool_in_child), 0);
  stop = true;
  for (auto& caller : callers) caller.join();
}

TEST(ParallelFork, InsideARegionDoesNotHang) {
  set_thread_count(2);
  std::atomic<int> failures{0};
  const pid_t parent = ::getpid();
  try {
    parallel_for(8, 1, [&](int64_t, int64_t) {
      std::this_thread::sleep_for(std::chrono::milliseconds(2));
      if (worker_index() != 0) return;
      const pid_t child = ::fork();
      if (child == 0) {
        ::alarm(20);
        return;  // finishes the region in the child, or learns that it cannot
      }
      int status = 0;
      ::waitpid(child, &status, 0);
      if (!WIFEXITED(status)) ++failures;
    });
  } catch (const std::runtime_error&) {
    EXPECT_NE(::getpid(), parent);
  }
  if (::getpid() != parent) ::_exit(0);
  EXPECT_EQ(failures, 0);
}

#endif

struct Interrupted {};

TEST(Interrupt, StopsARegionAndALongWait) {
  for (const int threads : {1, 2, 4}) {
    set_thread_count(threads);
    set_interrupt_hook([] { throw Interrupted(); });
    const auto start = std::chrono::steady_clock::now();
    EXPECT_THROW(
        parallel_for(100000, 1, [](int64_t, int64_t) { std::this_thread::sleep_for(std::chrono::milliseconds(1)); }),
        Interrupted);
    EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(5));
    set_interrupt_hook(nullptr);
    EXPECT_EQ(sum_in_parallel(100, 1), 4950);
  }
  set_thread_count(0);
}

TEST(Interrupt, IsThrottled) {
  static int calls;
  calls = 0;
  set_interrupt_hook([] { ++calls; });
  const auto start = std::chrono::steady_clock::now();
  while (calls < 4) poll_interrupt();
  set_interrupt_hook(nullptr);
  const auto three_periods_less_ticks = std::chrono::milliseconds(40);
  EXPECT_GE(std::chrono::steady_clock::now() - start, three_periods_less_ticks);
}

}  // namespace
}  // namespace plait
