#include "plait/control_flow.h"

#include <gtest/gtest.h>

#include <atomic>
#include <cmath>
#include <thread>

#include "base/interrupt.h"
#include "engine/engine.h"
#include "graph/node.h"
#include "plait/jacobian.h"
#include "plait/ops.h"

namespace plait {
namespace {

Array doubles(std::vector<double> v, Shape shape) { return Array::from<double>(v, shape); }
std::vector<double> values(const Array& a) { return astype(a, DType::float64).to_vector<double>(); }
Array wave(int64_t rows, int64_t cols) {
  std::vector<double> v(static_cast<size_t>(rows * cols));
  for (size_t i = 0; i < v.size(); ++i) v[i] = std::sin(1.7 * static_cast<double>(i) + 0.3);
  return doubles(v, {rows, cols});
}
Array row(const Array& a, int64_t i) { return take(a, Array(static_cast<int32_t>(i)), 0); }

const ScanFunction kStep = [](const Arrays& carry, const Arrays& x) {
  const Array c = sin(carry[0] * x[0] + 0.5);
  return std::pair(Arrays{c}, Arrays{c * 2.0});
};

TEST(ControlFlow, ScanEqualsALoop) {
  const Array xs = wave(9, 4);
  for (const bool reverse : {false, true})
    for (const int unroll : {1, 4, 20}) {
      const auto [last, ys] = scan(kStep, {row(xs, 0)}, {xs}, std::nullopt, reverse, unroll);
      Array c = row(xs, 0);
      for (int64_t k = 0; k < 9; ++k) {
        const int64_t i = reverse ? 8 - k : k;
        c = sin(c * row(xs, i) + 0.5);
        EXPECT_EQ(values(row(ys[0], i)), values(c * 2.0));
      }
      EXPECT_EQ(values(last[0]), values(c));
    }
}

TEST(ControlFlow, AFailureInTheMiddleLosesNothing) {
  const Array xs = Array::from<int32_t>(std::vector<int32_t>{0, 1, 2, 9, 1}, {5});
  const Array table = doubles({1, 2, 3}, {3});
  const Array init = table + 0.0;
  const auto [last, ys] = scan(
      [&](const Arrays& carry, const Arrays& x) {
        const Array c = carry[0] + slice(table, reshape(x[0], {1}), 0, 1);
        return std::pair(Arrays{c}, Arrays{c});
      },
      {init}, {xs});
  for (int i = 0; i < 2; ++i) EXPECT_THROW(last[0].eval(), IndexError);
  EXPECT_THROW(ys[0].eval(), IndexError);
  EXPECT_EQ(values(table), (std::vector<double>{1, 2, 3}));
  EXPECT_EQ(values(init), (std::vector<double>{1, 2, 3}));
}

TEST(ControlFlow, WhatIsStackedIsWrittenInPlace) {
  const Array xs = wave(64, 512);
  const auto [last, ys] = scan(kStep, {row(xs, 0)}, {xs});
  plait::eval(std::vector<Array>{last[0], ys[0]});
  const Storage& all = evaluated_storage(ys[0]);
  EXPECT_TRUE(all.row_major);
  EXPECT_NE(evaluated_storage(last[0]).buffer.get(), all.buffer.get());
}

TEST(ControlFlow, OneKeyForAllIterationsAndLengths) {
  const auto run = [](int64_t n) {
    const auto [last, ys] = scan(kStep, {doubles({1, 2, 3}, {3})}, {wave(n, 3)});
    return values(last[0] + sum(ys[0], 0, false));
  };
  engine::clear_plan_cache();
  run(20);
  const auto before = engine::plan_cache_stats().built;
  for (int64_t n = 21; n < 40; ++n) run(n);
  EXPECT_EQ(engine::plan_cache_stats().built, before);
}

TEST(ControlFlow, CountsToAMillion) {
  const Arrays out = while_loop([](const Arrays& v) { return Arrays{v[0] < 1'000'000}; },
                                [](const Arrays& v) { return Arrays{v[0] + 1}; }, {Array(0)});
  EXPECT_EQ(out[0].item<int32_t>(), 1'000'000);
}

TEST(ControlFlow, LongLoopsAnswerInterrupts) {
  static std::atomic<int> polls{0};
  const Arrays out = while_loop([](const Arrays& v) { return Arrays{v[0] >= 0}; },
                                [](const Arrays& v) { return Arrays{v[0] * 1}; }, {Array(0)});
  set_interrupt_hook([] {
    if (++polls > 2) throw Interrupted({.op = "test"});
  });
  EXPECT_THROW(out[0].eval(), Interrupted);
  set_interrupt_hook(nullptr);
}

TEST(ControlFlow, ManyThreadsRunOneCompiledLoop) {
  const Function f = compile([](const Arrays& in) {
    const auto [last, ys] = scan(kStep, {in[0]}, {in[1]});
    return Arrays{last[0], ys[0]};
  });
  const Array xs = wave(30, 5);
  const auto want = values(f({row(xs, 1), xs})[1]);
  std::vector<std::thread> threads;
  std::atomic<int> wrong{0};
  for (int t = 0; t < 4; ++t)
    threads.emplace_back([&] {
      for (int i = 0; i < 50; ++i)
        if (values(f({row(xs, 1), xs})[1]) != want) ++wrong;
    });
  for (auto& t : threads) t.join();
  EXPECT_EQ(wrong, 0);
}

TEST(ControlFlow, GradientsPassThroughCompiledGradients) {
  const auto f = [](const Arrays& in) { return Arrays{sum(in[0] * in[0] * in[0], Axes(), false)}; };
  const Function slope = compile(grad(f));
  const Function second = grad([&](const Arrays& in) { return Arrays{sum(slope(in)[0], Axes(), false)}; });
  EXPECT_EQ(values(second({doubles({1, 2}, {2})})[0]), (std::vector<double>{6, 12}));
  const Function forward = [&](const Arrays& in) { return jvp(slope, in, {ones_like(in[0])}).second; };
  EXPECT_EQ(values(forward({doubles({1, 2}, {2})})[0]), (std::vector<double>{6, 12}));
}

TEST(ControlFlow, RejectsWhatDoesNotFit) {
  const Array x = doubles({1, 2}, {2});
  const auto same = [](const Arrays& in) { return in; };
  const auto shorter = [](const Arrays& in) { return Arrays{sum(in[0], Axes(), false)}; };
  EXPECT_THROW(scan([](const Arrays& c, const Arrays&) { return std::pair(c, c); }, {x}, {}), ArgumentError);
  EXPECT_THROW(scan([&](const Arrays& c, const Arrays&) { return std::pair(shorter(c), c); }, {x}, {x}), ShapeError);
  EXPECT_THROW(
      scan([](const Arrays& c, const Arrays&) { return std::pair(Arrays{astype(c[0], DType::float32)}, c); }, {x}, {x}),
      DTypeError);
  EXPECT_THROW(scan([](const Arrays&, const Arrays& s) { return std::pair(Arrays{}, s); }, {x}, {x}), ArgumentError);
  EXPECT_THROW(while_loop(same, same, {x}), ShapeError);
  EXPECT_THROW(while_loop([](const Arrays&) { return Arrays{}; }, same, {x}), ArgumentError);
  EXPECT_THROW(cond(x, same, same, {x}), ShapeError);
  EXPECT_THROW(cond(Array(true), same, shorter, {x}), ShapeError);
}

TEST(Jacobian, ForwardsAndBackwardsAgree) {
  const Function f = [](const Arrays& in) { return Arrays{sin(in[0]) * in[1], sum(in[0] * in[1], Axes(), false)}; };
  const Arrays at{doubles({1, 2, 3}, {3}), doubles({4}, {1})};
  const Arrays a = jacfwd(f, {0, 1})(at), b = jacrev(f, {0, 1})(at);
  ASSERT_EQ(a.size(), 4u);
  for (size_t i = 0; i < 4; ++i) {
    EXPECT_TRUE(a[i].shape() == b[i].shape());
    const auto x = values(a[i]), y = values(b[i]);
    for (size_t k = 0; k < x.size(); ++k) EXPECT_NEAR(x[k], y[k], 1e-12);
  }
  EXPECT_EQ(a[1].shape().values(), (std::vector<int64_t>{3, 1}));
  const Arrays h = hessian([](const Arrays& in) { return Arrays{sum(in[0] * in[0] * in[0], Axes(), false)}; })(at);
  EXPECT_EQ(values(h[0]), (std::vector<double>{6, 0, 0, 0, 12, 0, 0, 0, 18}));
  EXPECT_THROW(jacfwd(f, {2})(at), ArgumentError);
  EXPECT_THROW(jacrev(f)({Array(1), at[1]}), DTypeError);
}

}  // namespace
}  // namespace plait
