#include "plait/transforms.h"

#include <gtest/gtest.h>

#include <barrier>
#include <cmath>
#include <thread>

#include "engine/engine.h"
#include "graph/registry.h"
#include "plait/ops.h"

namespace plait {
namespace {

Array doubles(std::vector<double> v, Shape shape) { return Array::from<double>(v, shape); }
Array wave(int64_t rows, int64_t cols) {
  std::vector<double> v(static_cast<size_t>(rows * cols));
  for (size_t i = 0; i < v.size(); ++i) v[i] = 1.3 + std::sin(1.7 * static_cast<double>(i));
  return doubles(v, {rows, cols});
}
// Row i, and rows put together, by products with unit vectors: no other ops than the ones under test are needed.
Array row(const Array& a, int i) {
  std::vector<double> unit(static_cast<size_t>(a.dim(0).value()));
  unit[static_cast<size_t>(i)] = 1;
  Shape ones;
  for (int k = 0; k < a.rank(); ++k) ones.push_back(k == 0 ? a.dim(0) : Dim(1));
  return sum(a * reshape(doubles(unit, {a.dim(0)}), ones), 0, false);
}
Array stack_of(const std::vector<Array>& rows, int axis) {
  Array all;
  for (size_t i = 0; i < rows.size(); ++i) {
    std::vector<double> unit(rows.size());
    unit[i] = 1;
    Shape ones{static_cast<int64_t>(rows.size()), 1, 1};
    const Array term = expand_dims(rows[i], 0) * reshape(doubles(unit, {static_cast<int64_t>(rows.size())}), ones);
    all = all.defined() ? all + term : term;
  }
  return axis == 0 ? all : transpose(all, axis == 1 ? Axes{1, 0, 2} : Axes{1, 2, 0});
}
Array total(const Array& a) { return sum(a, Axes(), false); }

struct Case {
  const char* name;
  Array (*f)(const Array&);
};
const Case kCases[] = {
    {"exp", [](const Array& x) { return exp(x); }},
    {"square_sum", [](const Array& x) { return sum(x * x, -1, true) * x; }},
    {"softmax",
     [](const Array& x) {
       const Array e = exp(x - max(x, -1, true));
       return e / sum(e, -1, true);
     }},
    {"reshape", [](const Array& x) { return reshape(sin(x), {-1}) * 2.0; }},
    {"transpose", [](const Array& x) { return transpose(tanh(x), Axes()) * transpose(x, Axes()); }},
    {"broadcast", [](const Array& x) { return x * sum(x, 0, true) + sum(x, 1, true); }},
    {"prod", [](const Array& x) { return prod(x, 1, false); }},
    {"power", [](const Array& x) { return power(x, x); }},
    {"where", [](const Array& x) { return where(x > 1.0, x * x, sin(x)); }},
    {"squeeze", [](const Array& x) { return squeeze(expand_dims(x, 1) * 3.0, 1) / x; }},
    {"max", [](const Array& x) { return max(x * x, 0, false); }},
    {"logaddexp", [](const Array& x) { return logaddexp(x, x * 2.0); }},
};

std::vector<double> values(const Array& a) { return astype(a, DType::float64).to_vector<double>(); }

TEST(Transforms, GradientsMatchDifferences) {
  for (const Case& c : kCases) {
    const Array x = wave(3, 4);
    const auto f = [&](const Arrays& in) { return Arrays{total(c.f(in[0]) * c.f(in[0]))}; };
    const auto g = values(grad(f)({x})[0]);
    const auto at = values(x);
    for (size_t i = 0; i < at.size(); ++i) {
      const double h = 1e-5;
      auto up = at, down = at;
      up[i] += h;
      down[i] -= h;
      const double want = (values(f({doubles(up, {3, 4})})[0])[0] - values(f({doubles(down, {3, 4})})[0])[0]) / (2 * h);
      EXPECT_NEAR(g[i], want, 1e-5 * (1 + std::fabs(want))) << c.name;
    }
  }
}

TEST(Transforms, ForwardAgreesWithBackward) {
  for (const Case& c : kCases) {
    const Array x = wave(3, 4);
    const Array t = cos(x);
    const auto f = [&](const Arrays& in) { return Arrays{c.f(in[0])}; };
    const auto [out, moved] = jvp(f, {x}, {t});
    const Array w = sin(out[0]) + 0.5;
    const auto [again, pulled] = vjp(f, {x}, {w});
    EXPECT_NEAR(values(total(moved[0] * w))[0], values(total(pulled[0] * t))[0], 1e-8) << c.name;
  }
}

TEST(Transforms, SecondDerivatives) {
  const auto f = [](const Arrays& in) { return Arrays{total(exp(in[0]) * in[0])}; };
  const auto gg = grad([&](const Arrays& in) { return Arrays{total(grad(f)(in)[0])}; });
  const Array x = wave(2, 2);
  const auto got = values(gg({x})[0]);
  const auto at = values(x);
  for (size_t i = 0; i < at.size(); ++i) EXPECT_NEAR(got[i], std::exp(at[i]) * (at[i] + 2), 1e-9);
}

TEST(Transforms, BatchingEqualsALoop) {
  for (const Case& c : kCases) {
    for (const int axis : {0, 1, 2}) {
      Array batch =
          stack_of({wave(3, 4), wave(3, 4) * 1.1, wave(3, 4) * 0.7, wave(3, 4) + 0.3, wave(3, 4) * 1.3}, axis);
      const auto f = [&](const Arrays& in) { return Arrays{c.f(in[0])}; };
      const Array got = vmap(f, {axis}, {0})({batch})[0];
      const Array examples = axis == 0 ? batch : transpose(batch, axis == 1 ? Axes{1, 0, 2} : Axes{2, 0, 1});
      for (int i = 0; i < 5; ++i) {
        const auto want = values(c.f(row(examples, i)));
        const auto have = values(row(got, i));
        ASSERT_EQ(want.size(), have.size()) << c.name;
        for (size_t k = 0; k < want.size(); ++k) EXPECT_NEAR(have[k], want[k], 1e-12) << c.name << " axis " << axis;
      }
    }
  }
}

TEST(Transforms, NestInOneAnother) {
  const auto f = [](const Arrays& in) { return Arrays{total(sin(in[0]) * in[1])}; };
  const Array x = wave(5, 3);
  const Array w = doubles({1, 2, 3}, {3});
  const auto per_example = vmap(grad(f), {0, kNotMapped}, {0});
  const auto got = values(per_example({x, w})[0]);
  const auto compiled = values(compile(per_example)({x, w})[0]);
  const auto at = values(x);
  for (size_t i = 0; i < at.size(); ++i) {
    EXPECT_NEAR(got[i], std::cos(at[i]) * static_cast<double>(i % 3 + 1), 1e-12);
    EXPECT_EQ(got[i], compiled[i]);
  }
  const auto of_batch = grad([&](const Arrays& in) { return Arrays{total(vmap(f, {0, kNotMapped}, {0})(in)[0])}; });
  const auto same = values(of_batch({x, w})[0]);
  for (size_t i = 0; i < at.size(); ++i) EXPECT_NEAR(got[i], same[i], 1e-12);
  const auto through = values(grad(compile(f))({x, w})[0]);
  for (size_t i = 0; i < at.size(); ++i) EXPECT_NEAR(got[i], through[i], 1e-12);
}

TEST(Transforms, OneTraceForAllExtents) {
  int runs = 0;
  CompiledFunction f([&](const Arrays& in) {
    ++runs;
    const Array e = exp(in[0] - max(in[0], -1, true));
    return Arrays{e / sum(e, -1, true) + zeros(in[0].shape(), DType::float64)};
  });
  engine::clear_plan_cache();
  const auto before = engine::plan_cache_stats().built;
  for (int64_t n = 7; n < 57; ++n) {
    const auto out = values(f({wave(n, 5)})[0]);
    ASSERT_EQ(static_cast<int64_t>(out.size()), n * 5);
    double s = 0;
    for (int k = 0; k < 5; ++k) s += out[out.size() - 1 - k];
    EXPECT_NEAR(s, 1, 1e-12);
  }
  EXPECT_EQ(runs, 1);
  EXPECT_EQ(engine::plan_cache_stats().built - before, 1);
}

TEST(Transforms, ADecisionOnAnExtentTracesAgain) {
  CompiledFunction f([&](const Arrays& in) {
    const bool tall = in[0].shape()[0] > 10;
    return Arrays{tall ? in[0] * 2.0 : in[0] * 3.0};
  });
  EXPECT_NEAR(values(f({wave(4, 2)})[0])[0], values(wave(4, 2))[0] * 3, 1e-12);
  EXPECT_NEAR(values(f({wave(5, 2)})[0])[0], values(wave(5, 2))[0] * 3, 1e-12);
  EXPECT_EQ(f.trace_count(), 1);
  EXPECT_NEAR(values(f({wave(20, 2)})[0])[0], values(wave(20, 2))[0] * 2, 1e-12);
  EXPECT_EQ(f.trace_count(), 2);
}

TEST(Transforms, EveryPrimitiveHasItsRulesOrSaysWhyNot) {
  for (const auto& op : registry().ops()) {
    if (op->kind == OpKind::constant || op->kind == OpKind::placeholder) continue;
    EXPECT_EQ(static_cast<bool>(op->vjp), static_cast<bool>(op->jvp)) << op->name;
    const bool without_rules = !op->vjp && !op->vmap && op->not_differentiable.empty();  // no_vmap says why
    EXPECT_TRUE(without_rules || static_cast<bool>(op->vjp) == op->not_differentiable.empty()) << op->name;
    EXPECT_NE(static_cast<bool>(op->vmap), !op->no_vmap.empty()) << op->name;
    const bool no_operand = op->inputs.empty();
    EXPECT_EQ(no_operand, op->not_differentiable == "it has no array operand") << op->name;
    EXPECT_EQ(no_operand, op->no_vmap == "it has no array operand") << op->name;
  }
}

TEST(Transforms, AnEmptyBatch) {
  const Array none = zeros({3, 0, 2}, DType::float64);
  const Array out = vmap([](const Arrays& in) { return Arrays{sum(in[0], 0, false)}; }, {1}, {1})({none})[0];
  EXPECT_EQ(out.shape(), (Shape{2, 0}));
}

TEST(Transforms, DerivativesAndBatchesRunWhereTheOperationRuns) {
  const Stream other = new_stream(Device{});
  const auto f = [&](const Arrays& in) {
    const StreamScope scope(other);
    return Arrays{total(exp(in[0]))};
  };
  const Array x = wave(3, 4);
  for (const Array& a : {grad(f)({x})[0], jvp(f, {x}, {x}).second[0], vmap(f)({x})[0]})
    EXPECT_EQ(a.node()->stream, other.index);
  EXPECT_NE(default_stream(Device{}).index, other.index);
}

TEST(Transforms, WhatBecameAnIntegerDoesNotMove) {
  const Array x = wave(2, 2);
  const auto f = [](const Arrays& in) {
    return Arrays{astype(astype(in[0], DType::int32), DType::float64), astype(in[0], DType::int32)};
  };
  const auto moved = jvp(f, {x}, {x}).second;
  for (const Array& t : moved)
    for (const double v : values(t)) EXPECT_EQ(v, 0);
  EXPECT_EQ(moved[1].dtype(), DType::int32);
}

TEST(Transforms, EvaluatingAnAbstractArrayIsAnError) {
  const auto f = [](const Arrays& in) {
    in[0].eval();
    return in;
  };
  EXPECT_THROW(vmap(f)({wave(2, 2)}), TransformError);
  EXPECT_THROW(compile(f)({wave(2, 2)}), TransformError);
  EXPECT_NO_THROW(vjp(f, {wave(2, 2)}, {wave(2, 2)}));
}

TEST(Transforms, LongChainsDoNotRecurse) {
  const auto f = [](const Arrays& in) {
    Array y = in[0];
    for (int i = 0; i < 100'000; ++i) y = y * 1.0000001;
    return Arrays{total(y)};
  };
  EXPECT_NEAR(values(grad(f)({doubles({1}, {1})})[0])[0], std::pow(1.0000001, 100'000), 1e-9);
}

TEST(Transforms, ATraceCapturesWhatAnotherThreadIsEvaluating) {
  const Array x = wave(6, 5);
  for (int round = 0; round < 30; ++round) {
    Array held = x;
    for (int i = 0; i < 300; ++i) held = held * 0.99 + 0.5;
    std::barrier start(2);
    std::thread other([&] {
      start.arrive_and_wait();
      held.eval();
    });
    const Function f = compile([&](const Arrays& in) { return Arrays{in[0] * held}; });
    start.arrive_and_wait();
    const Array first = f({x})[0];
    other.join();
    const auto want = values(x * held);
    EXPECT_EQ(values(first), want);
    EXPECT_EQ(values(f({x})[0]), want);  // what `held` was made of is gone
  }
}

TEST(Transforms, WorkOnManyThreadsOverSharedGraphs) {
  constexpr int kThreads = 4;
  const Array x = wave(6, 5);
  const Function step = compile([](const Arrays& in) { return Arrays{tanh(in[0]) * in[1] + 1.0}; });
  const auto work = [&](int t, const Array& shared) {
    const Array w = wave(6, 5) * static_cast<double>(t + 1);
    const auto loss = [&](const Arrays& in) {
      const Array y = step({in[0], shared})[0];
      return Arrays{total(y * y * sum(shared, -1, true))};
    };
    const auto per_row = vmap([](const Arrays& in) { return Arrays{exp(in[0] - max(in[0], -1, true))}; });
    auto [value, gradients] = value_and_grad(loss)({w});
    std::vector<double> all = values(gradients[0]);
    for (double v : values(value[0])) all.push_back(v);
    for (double v : values(per_row({shared})[0])) all.push_back(v);
    for (double v : values(jvp(loss, {w}, {shared}).second[0])) all.push_back(v);
    return all;
  };
  const auto shared_part = [&] { return exp(x * 0.5) / sum(x, 0, true); };
  std::vector<std::vector<double>> want;
  for (int t = 0; t < kThreads; ++t) want.push_back(work(t, shared_part()));
  for (int round = 0; round < 20; ++round) {
    engine::clear_plan_cache();
    const Array shared = shared_part();
    std::vector<std::vector<double>> got(kThreads);
    std::barrier start(kThreads);
    std::vector<std::thread> threads;
    for (int t = 0; t < kThreads; ++t)
      threads.emplace_back([&, t] {
        start.arrive_and_wait();
        got[static_cast<size_t>(t)] = work(t, shared);
      });
    for (auto& t : threads) t.join();
    EXPECT_EQ(got, want);
  }
}

}  // namespace
}  // namespace plait
