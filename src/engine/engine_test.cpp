#include "engine/engine.h"

#include <gtest/gtest.h>

#include <array>
#include <cmath>
#include <thread>

#include "engine/graph.h"
#include "graph/node.h"
#include "plait/ops.h"

namespace plait {
namespace {

Array vec(std::vector<float> v) { return Array::from<float>(v, {static_cast<int64_t>(v.size())}); }
Array grid(int64_t rows, int64_t cols) {
  std::vector<float> v(static_cast<size_t>(rows * cols));
  for (size_t i = 0; i < v.size(); ++i) v[i] = std::sin(static_cast<float>(i));
  return Array::from<float>(v, {rows, cols});
}
std::vector<float> floats(const Array& a) { return a.to_vector<float>(); }

TEST(Engine, AddsAndBroadcasts) {
  const Array a = grid(2, 3);
  const Array b = vec({1, 2, 3});
  const auto out = floats(a * b + 1.0);
  const auto x = floats(a);
  for (int i = 0; i < 6; ++i) EXPECT_FLOAT_EQ(out[i], x[i] * static_cast<float>(i % 3 + 1) + 1.0f);
}

TEST(Engine, SoftmaxIsOneRegion) {
  const Array a = grid(5, 7);
  const auto softmax = [](const Array& x) {
    const Array e = exp(x - max(x, -1, true));
    return e / sum(e, -1, true);
  };
  const auto out = floats(softmax(a));
  for (int r = 0; r < 5; ++r) {
    float total = 0;
    for (int c = 0; c < 7; ++c) total += out[r * 7 + c];
    EXPECT_NEAR(total, 1, 1e-6);
  }
}

TEST(Engine, RegionsThatGrowTowardsEachOther) {
  // h and t could each take in a second operation, but then each region would wait for the other one.
  const Array h = exp(vec({3, 1, 2})), p = sort(h, -1), t = exp(vec({2, 1, 5})), k = sort(t, -1);
  const Array last_h = h * k, last_t = t + p;
  eval(Arrays{p, last_h, last_t});
  const auto a = floats(last_h), b = floats(last_t);
  for (int i = 0; i < 3; ++i) {
    EXPECT_FLOAT_EQ(a[i], std::exp(std::array{3.0f, 1.0f, 2.0f}[i]) * std::exp(std::array{1.0f, 2.0f, 5.0f}[i]));
    EXPECT_FLOAT_EQ(b[i], std::exp(std::array{2.0f, 1.0f, 5.0f}[i]) + std::exp(std::array{1.0f, 2.0f, 3.0f}[i]));
  }
}

TEST(Engine, ViewsAndReductionsOverAnyAxes) {
  const Array a = grid(4, 6);
  const auto x = floats(a);
  const auto columns = floats(sum(transpose(a, Axes()), 1, false));
  for (int c = 0; c < 6; ++c) {
    float want = 0;
    for (int r = 0; r < 4; ++r) want += x[r * 6 + c];
    EXPECT_NEAR(columns[c], want, 1e-5);
  }
  EXPECT_NEAR(
      floats(sum(exp(a) * 2.0, Axes(), false))[0],
      [&] {
        double s = 0;
        for (float v : x) s += 2 * std::exp(v);
        return s;
      }(),
      1e-4);
  const auto t = floats(transpose(a, Axes()));
  EXPECT_EQ(t[1], x[6]);
  const auto r = floats(reshape(transpose(a, Axes()), {4, 6}));
  EXPECT_EQ(r[1], x[6]);
}

TEST(Engine, IntermediatesThatAreHeldAreKept) {
  const Array a = grid(3, 3);
  const Array b = exp(a);
  const Array c = b + 1.0;
  c.eval();
  EXPECT_TRUE(b.is_evaluated());
  EXPECT_TRUE(c.is_evaluated());
}

TEST(Engine, NewExtentsUseTheSamePlan) {
  engine::clear_plan_cache();
  const auto before = engine::plan_cache_stats().built;
  for (int64_t n = 11; n < 40; ++n) {
    const Array x = grid(n, 5);
    floats(exp(x - max(x, -1, true)) * 2.0);
  }
  EXPECT_EQ(engine::plan_cache_stats().built - before, 1);
}

TEST(Engine, AMillionNodesInARow) {
  const auto budget = pending_budget();
  set_pending_budget({5'000'000, budget.bytes});
  Array y = vec({0});
  const Array one = vec({1});
  for (int i = 0; i < 1'000'000; ++i) y = y + one;
  EXPECT_EQ(y.item<float>(), 1e6f);
  Array z = vec({0});
  for (int i = 0; i < 1'000'000; ++i) z = z + one;  // dropped without being evaluated
  set_pending_budget(budget);
}

TEST(Engine, PendingWorkIsBounded) {
  const auto budget = pending_budget();
  set_pending_budget({1000, budget.bytes});
  Array y = vec({0});
  const Array one = vec({1});
  for (int i = 0; i < 10'000; ++i) y = y + one;
  set_pending_budget(budget);
  EXPECT_EQ(y.item<float>(), 1e4f);
}

TEST(Engine, ThreadsShareGraphs) {
  const Array a = grid(64, 64);
  for (int round = 0; round < 50; ++round) {
    const Array shared = exp(a) + 1.0;
    std::vector<std::thread> threads;
    std::vector<float> got(4);
    for (int t = 0; t < 4; ++t)
      threads.emplace_back([&, t] { got[t] = sum(shared * static_cast<double>(t), Axes(), false).item<float>(); });
    for (auto& t : threads) t.join();
    for (int t = 1; t < 4; ++t) EXPECT_NEAR(got[t], got[1] * t, 1e-2);
  }
}

TEST(Engine, AsyncResultsArrive) {
  const Array a = exp(grid(16, 16));
  const Array list[] = {a};
  async_eval(list);
  const auto x = floats(a * 2.0);
  EXPECT_EQ(x.size(), 256u);
}

TEST(Engine, ErrorsNameShapes) {
  EXPECT_THROW(grid(2, 3) + vec({1, 2}), ShapeError);
  EXPECT_THROW(sum(grid(2, 3), 2, false), AxisError);
}

}  // namespace
}  // namespace plait
