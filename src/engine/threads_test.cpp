// Evaluations on many threads that share parts of their graphs, and forks between them.
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <barrier>
#include <cmath>
#include <thread>

#include "base/interrupt.h"
#include "base/parallel.h"
#include "engine/engine.h"
#include "graph/node.h"
#include "plait/ops.h"
#include "plait/stream.h"

namespace plait {
namespace {

constexpr int kThreads = 6;

Array grid(int64_t rows, int64_t cols, double phase = 0) {
  std::vector<float> v(static_cast<size_t>(rows * cols));
  for (size_t i = 0; i < v.size(); ++i) v[i] = static_cast<float>(std::sin(static_cast<double>(i) + phase));
  return Array::from<float>(v, {rows, cols});
}
std::vector<float> floats(const Array& a) { return a.to_vector<float>(); }

/// Runs f(0), f(1), ... on threads of their own, which start together.
template <class F>
void together(F f) {
  std::barrier start(kThreads);
  std::vector<std::thread> threads;
  for (int t = 0; t < kThreads; ++t)
    threads.emplace_back([&, t] {
      start.arrive_and_wait();
      f(t);
    });
  for (auto& t : threads) t.join();
}

// Layers of which each thread asks for another, over the same nodes.
struct Layers {
  std::vector<Array> at;
  explicit Layers(const Array& x) {
    Array h = x;
    for (int i = 0; i < kThreads; ++i) {
      h = i % 3 == 0   ? exp(h * 0.5) - max(h, -1, true)
          : i % 3 == 1 ? matmul(h, transpose(h, Axes())) / 32.0
                       : concatenate({h, sum(h, 0, true)}, 0);
      at.push_back(h);
    }
  }
  Array asked(int t) const { return at[static_cast<size_t>(t)] * static_cast<double>(t + 1) + 1.0; }
};

std::vector<std::vector<float>> one_after_another(const Array& x) {
  std::vector<std::vector<float>> results;
  for (int t = 0; t < kThreads; ++t) results.push_back(floats(Layers(x).asked(t)));
  return results;
}

TEST(EngineThreads, ShareSubgraphsWhilePlansAreForgotten) {
  const Array x = grid(24, 24);
  const auto want = one_after_another(x);
  for (int round = 0; round < 25; ++round) {
    engine::clear_plan_cache();  // so that every thread plans while others number the same nodes
    const Layers layers(x);
    std::vector<std::vector<float>> got(kThreads);
    together([&](int t) { got[static_cast<size_t>(t)] = floats(layers.asked(t)); });
    EXPECT_EQ(got, want);
  }
}

TEST(EngineThreads, ShareWhatIsComputedInTheBackground) {
  const Array x = grid(24, 24);
  const auto want = one_after_another(x);
  const Stream other = new_stream({});
  for (int round = 0; round < 25; ++round) {
    engine::clear_plan_cache();
    const Layers layers(x);
    std::vector<std::vector<float>> got(kThreads);
    together([&](int t) {
      // Two streams, so that one waits for what another computes, in either direction.
      const StreamScope scope(t % 2 ? other : Stream{});
      const Array asked = layers.asked(t);
      const Array wanted[] = {asked, layers.at[static_cast<size_t>((t + 1) % kThreads)]};
      async_eval(wanted);
      got[static_cast<size_t>(t)] = floats(asked);
    });
    EXPECT_EQ(got, want);
  }
}

TEST(EngineThreads, ReuseMemoryOnlyWhenNobodyElseLooks) {
  const Array shared = grid(64, 64);
  std::vector<std::vector<float>> got(kThreads);
  together([&](int t) {
    Array mine = shared + static_cast<double>(t);
    const Array view = transpose(shared, Axes());
    for (int i = 0; i < 40; ++i) {
      mine = mine * 0.5 + view;  // in place, once it is this thread's own
      mine.eval();
    }
    got[static_cast<size_t>(t)] = floats(mine - mine + shared);
  });
  for (const auto& g : got) EXPECT_EQ(g, floats(grid(64, 64)));
}

TEST(EngineThreads, DropGraphsThatOthersEvaluate) {
  const Array x = grid(16, 16);
  for (int round = 0; round < 50; ++round) {
    const Layers layers(x);
    together([&, mine = layers.at](int t) mutable {
      if (t == 0) mine.clear();
      const Array asked = layers.asked(t);
      if (t % 2) asked.eval();
    });
  }
}

// Memory of nodes goes from thread to thread, and what a thread keeps of it ends with the thread.
TEST(EngineThreads, MakeAndDropEachOthersNodes) {
  struct AtTheEnd {  // the thread's, gone after what the library keeps for the thread
    Array held;
    ~AtTheEnd() { held = Array(); }
  };
  constexpr int kNodes = 6000;  // more than one thread keeps
  const auto chain = [] {
    Array x = Array::from<float>(std::vector<float>{0}, {1});
    for (int i = 0; i < kNodes; ++i) x = x + 1.0;
    return x;
  };
  std::vector<Array> made(kThreads);
  together([&](int t) {
    thread_local AtTheEnd at_the_end;
    made[static_cast<size_t>(t)] = chain();
    at_the_end.held = chain();
  });
  together([&](int t) {
    Array& one = made[static_cast<size_t>((t + 1) % kThreads)];
    EXPECT_EQ(floats(one), std::vector<float>{kNodes});
    one = Array();
    EXPECT_EQ(floats(chain()), std::vector<float>{kNodes});
  });
}

TEST(EngineThreads, HandlersEvaluateInTheMidstOfAnEvaluation) {
  static std::thread::id here;
  static Array y;
  static std::vector<float> aside;
  static int right, refused;
  here = std::this_thread::get_id();
  right = refused = 0;
  const Array x = grid(1024, 1024);
  const auto f = [](const Array& a) { return tanh(exp(a * 0.5) + a) * 3.0; };
  const auto want = floats(f(x));
  aside = floats(grid(8, 8) * 2.0 + 1.0);
  set_interrupt_hook([] {
    if (std::this_thread::get_id() != here) return;
    if (floats(grid(8, 8) * 2.0 + 1.0) == aside) ++right;
    const Array behind = y + 1.0, last = grid(8, 8) * 3.0;  // another thread waits for y, and then has a queue
    for (const Array& a : {behind, last}) {
      const Array list[] = {a};
      async_eval(list);
    }
    int refusals = 0;
    const auto refuses = [&](const auto& ask) {
      try {
        ask();
      } catch (const DeviceError&) {
        ++refusals;
      }
    };
    refuses([] { y.eval(); });  // what is being computed
    refuses([&] { behind.eval(); });
    refuses([&] { last.eval(); });
    refuses([] { synchronize(default_stream(default_device())); });
    if (refusals == 4) ++refused;
  });
  for (int i = 0; i < 200 && refused < 3; ++i) {
    y = f(x);
    y.eval();
    ASSERT_EQ(floats(y), want);
  }
  set_interrupt_hook(nullptr);
  y = Array();
  EXPECT_GE(refused, 3);
  EXPECT_GE(right, refused);
}

// ThreadSanitizer cannot follow threads that a child starts after a fork with several threads; AddressSanitizer's allocator
// leaves its locks to the child as another thread held them.
#if !defined(__SANITIZE_THREAD__) && !defined(__SANITIZE_ADDRESS__)
TEST(EngineForks, AChildFinishesWhatTheParentHadBegun) {
  const Array x = grid(24, 24);
  const auto want = one_after_another(x);
  std::atomic<bool> stop{false};
  std::thread busy([&] {
    while (!stop) floats(Layers(x).asked(3));
  });
  for (int round = 0; round < 10; ++round) {
    const Layers layers(x);
    for (int t = 0; t < kThreads; ++t) {
      const Array asked[] = {layers.asked(t)};
      async_eval(asked);
    }
    const pid_t child = ::fork();
    if (child == 0) {
      ::alarm(20);  // a hang becomes a signal
      bool same = true;
      for (int t = 0; t < kThreads; ++t) {
        const Array asked = layers.asked(t);
        const Array list[] = {asked};
        async_eval(list);
        same = same && floats(asked) == want[static_cast<size_t>(t)];
      }
      ::_exit(same ? 0 : 1);
    }
    int status = 0;
    ::waitpid(child, &status, 0);
    EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0) << status;
    for (int t = 0; t < kThreads; ++t) EXPECT_EQ(floats(layers.asked(t)), want[static_cast<size_t>(t)]);
  }
  stop = true;
  busy.join();
}
#endif

}  // namespace
}  // namespace plait
