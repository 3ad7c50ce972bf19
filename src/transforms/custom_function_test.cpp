#include <gtest/gtest.h>

#include <cmath>
#include <thread>

#include "plait/more_ops.h"
#include "plait/ops.h"
#include "plait/transforms.h"

namespace plait {
namespace {

Array doubles(std::vector<double> v, Shape shape) { return Array::from<double>(v, shape); }
Array total(const Array& a) { return sum(a, Axes(), false); }
std::vector<double> values(const Array& a) { return a.to_vector<double>(); }

/// x * w, whose rules say ten and twenty times the cotangent, and a tangent of seven times x's.
Function marked() {
  return custom_function(
      [](const Arrays& in) { return Arrays{in[0] * in[1]}; },
      {.vjp = [](const Arrays&, const Arrays& g, const Arrays&) { return Arrays{g[0] * 10.0, g[0] * 20.0}; },
       .jvp = [](const Arrays&, const Arrays& t) { return Arrays{t[0] * 7.0}; },
       .vmap = nullptr});
}

TEST(CustomFunction, RulesStandInForTheOperations) {
  const Array x = doubles({1, 2}, {2}), w = doubles({3, 4}, {2});
  EXPECT_EQ(values(marked()({x, w})[0]), (std::vector<double>{3, 8}));
  const auto loss = [](const Arrays& in) { return Arrays{total(marked()(in)[0])}; };
  const Arrays grads = grad(loss, {0, 1})({x, w});
  EXPECT_EQ(values(grads[0]), (std::vector<double>{10, 10}));
  EXPECT_EQ(values(grads[1]), (std::vector<double>{20, 20}));
  EXPECT_EQ(values(jvp(marked(), {x, w}, {x, Array()}).second[0]), (std::vector<double>{7, 14}));
}

TEST(CustomFunction, RulesOfBatchesComeFromThoseOfExamples) {
  const Array x = doubles({1, 2, 3, 4, 5, 6}, {3, 2}), w = doubles({3, 4}, {2});
  const auto loss = [](const Arrays& in) { return Arrays{total(vmap(marked(), {0, kNotMapped}, {0})(in)[0])}; };
  const Arrays grads = compile(grad(loss, {0, 1}))({x, w});
  EXPECT_EQ(values(grads[0]), std::vector<double>(6, 10));
  EXPECT_EQ(values(grads[1]), (std::vector<double>{60, 60}));
}

TEST(CustomFunction, ABatchingRuleGetsTheBatch) {
  const Function f =
      custom_function([](const Arrays& in) { return Arrays{in[0] * 2.0}; },
                      {.vjp = nullptr, .jvp = nullptr, .vmap = [](const Arrays& in, const std::vector<int>& axes) {
                         EXPECT_EQ(axes, std::vector<int>{1});
                         return std::pair<Arrays, std::vector<int>>{{transpose(in[0], Axes{1, 0}) * 5.0}, {0}};
                       }});
  const Array x = doubles({1, 2, 3, 4, 5, 6}, {2, 3});
  EXPECT_EQ(values(vmap(f, {1}, {0})({x})[0]), (std::vector<double>{5, 20, 10, 25, 15, 30}));
}

TEST(CustomFunction, RefusesRulesThatDoNotFit) {
  const Array x = doubles({1, 2}, {2});
  const auto with_rule = [&](Arrays (*rule)(const Array&)) {
    const Function f =
        custom_function([](const Arrays& in) { return Arrays{in[0] * 2.0}; },
                        {.vjp = [rule](const Arrays&, const Arrays& g, const Arrays&) { return rule(g[0]); },
                         .jvp = nullptr,
                         .vmap = nullptr});
    return vjp(f, {x}, {x}).second;
  };
  EXPECT_THROW(with_rule([](const Array&) { return Arrays{}; }), TransformError);
  EXPECT_THROW(with_rule([](const Array& g) { return Arrays{total(g)}; }), TransformError);
  EXPECT_EQ(values(with_rule([](const Array&) { return Arrays{Array()}; })[0]), (std::vector<double>{0, 0}));
}

TEST(Checkpoint, ChangesNoGradientAndRunsOnce) {
  int runs = 0;
  const Array w = doubles({0.5, -0.25}, {2}), x = doubles({1, 2}, {2});
  const auto loss = [&](const Arrays& in) {
    const Function layer = checkpoint([&](const Arrays& a) {
      ++runs;
      return Arrays{tanh(a[0] * in[1])};  // in[1] is captured
    });
    return Arrays{total(layer({layer({in[0]})[0]})[0])};
  };
  const auto plain = [](const Arrays& in) { return Arrays{total(tanh(tanh(in[0] * in[1]) * in[1]))}; };
  const Arrays got = grad(loss, {0, 1})({x, w}), want = grad(plain, {0, 1})({x, w});
  EXPECT_EQ(runs, 2);
  for (size_t i = 0; i < 2; ++i)
    for (size_t k = 0; k < 2; ++k) EXPECT_NEAR(values(got[i])[k], values(want[i])[k], 1e-12);
}

TEST(Checkpoint, LongChainsDoNotRecurse) {
  const auto f = checkpoint([](const Arrays& in) {
    Array y = in[0];
    for (int i = 0; i < 100'000; ++i) y = y * 1.0000001;
    return Arrays{y};
  });
  const Array x = doubles({1}, {1});
  EXPECT_NEAR(values(grad([&](const Arrays& in) { return Arrays{total(f(in)[0])}; })({x})[0])[0],
              std::pow(1.0000001, 100'000), 1e-9);
}

TEST(Depends, PassesOnAndOrders) {
  const Array x = doubles({1, 2}, {2});
  const auto f = [](const Arrays& in) {
    const Arrays out = depends({in[0], in[0] * 3.0}, {exp(in[0])});
    return Arrays{total(out[0] * out[1])};
  };
  EXPECT_EQ(values(grad(f)({x})[0]), (std::vector<double>{6, 12}));
  EXPECT_EQ(values(compile(f)({x})[0]), (std::vector<double>{15}));
}

TEST(Depends, WorksOnManyThreads) {
  const Array x = doubles({1, 2}, {2});
  const Array shared = depends({exp(x)}, {sin(x)})[0];
  std::vector<std::thread> threads;
  std::vector<double> got(4);
  for (int t = 0; t < 4; ++t)
    threads.emplace_back([&, t] { got[static_cast<size_t>(t)] = values(total(depends({shared}, {x})[0]))[0]; });
  for (auto& t : threads) t.join();
  for (const double g : got) EXPECT_NEAR(g, std::exp(1) + std::exp(2), 1e-12);
}

}  // namespace
}  // namespace plait
