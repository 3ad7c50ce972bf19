#include "engine/explain.h"

#include <gtest/gtest.h>

#include <thread>

#include "engine/engine.h"
#include "plait/array.h"
#include "plait/ops.h"

namespace plait {
namespace {

Array ramp(int64_t rows, int64_t columns) {
  std::vector<float> values(static_cast<size_t>(rows * columns));
  for (size_t i = 0; i < values.size(); ++i) values[i] = static_cast<float>(i) * 0.01F;
  return Array::from<float>(values, Shape{rows, columns});
}

TEST(Explain, SaysWhatWillHappen) {
  const Array x = ramp(64, 32), w = ramp(32, 16);
  const Array y = tanh(matmul(x, w)) + 1;
  const Array row = sum(y, 0, false);
  const debug::Explanation e = debug::explain(std::vector<Array>{row});
  ASSERT_EQ(e.steps.size(), 2u);
  EXPECT_EQ(e.steps[0].kind, "kernel");
  EXPECT_EQ(e.steps[0].operations, std::vector<std::string>{"matmul"});
  EXPECT_EQ(e.steps[0].bytes_read, (64 * 32 + 32 * 16) * 4);
  EXPECT_EQ(e.steps[0].bytes_written, 64 * 16 * 4);
  EXPECT_EQ(e.steps[1].kind, "region");
  EXPECT_EQ(e.steps[1].operations, (std::vector<std::string>{"tanh", "add", "sum"}));
  EXPECT_EQ(e.steps[1].device, "cpu");
  EXPECT_EQ(e.steps[1].results, 2);  // y is held
  EXPECT_EQ(e.result_bytes, (64 * 16 + 16) * 4);
  EXPECT_EQ(e.plan.rfind("new: ", 0), 0u);
  EXPECT_FALSE(row.is_evaluated());
}

TEST(Explain, FreesWhatNobodyNeeds) {
  const Array x = ramp(64, 64);
  Array y = matmul(x, x);
  y = matmul(sort(y, 1), x);
  const debug::Explanation e = debug::explain(std::vector<Array>{y});
  constexpr int64_t kOne = 64 * 64 * 4;
  ASSERT_EQ(e.steps.size(), 3u);
  EXPECT_EQ(e.peak_bytes, 2 * kOne);
  EXPECT_EQ(e.result_bytes, kOne);
}

TEST(Explain, SeesWhatMayBeOverwritten) {
  const auto notes_of = [](const Array& a, std::span<const Array> kept = {}) {
    return debug::explain(std::span(&a, 1), false, kept).steps.at(0).notes.size();
  };
  Array x = ramp(32, 32) + 1;
  x.eval();
  const Array held = exp(x) * 2;
  EXPECT_EQ(notes_of(held), 0u);  // x is held
  std::vector<Array> keeper{x};
  x = Array();
  EXPECT_EQ(notes_of(held), 0u);
  EXPECT_EQ(notes_of(held, keeper), 1u);
  keeper.clear();
  EXPECT_EQ(notes_of(held), 1u);
  EXPECT_EQ(debug::explain(std::span(&held, 1)).steps.at(0).bytes_allocated, 0);
}

TEST(Explain, ChangesNothing) {
  engine::clear_plan_cache();
  const Array x = ramp(8, 8);
  const Array y = exp(x) * x;
  const auto before = engine::plan_cache_stats();
  (void)debug::explain(std::span(&y, 1));
  EXPECT_EQ(engine::plan_cache_stats().built, before.built);
  EXPECT_EQ(engine::plan_cache_stats().hits, before.hits);
  EXPECT_EQ(engine::plan_cache_stats().held, before.held);
  y.eval();
  const Array z = exp(x) * x;
  EXPECT_EQ(debug::explain(std::span(&z, 1)).plan, "in the cache");
  EXPECT_EQ(debug::explain(std::span(&y, 1)).plan, "not needed: everything is evaluated");
}

TEST(Explain, SaysWhatIsNewAboutAStructure) {
  engine::clear_plan_cache();
  const auto why = [](const Array& a) { return debug::explain(std::span(&a, 1)).plan; };
  const auto f = [](const Array& x, int axis) { return sum(exp(x) * 2, axis, false); };
  f(ramp(8, 9), 0).eval();
  EXPECT_EQ(why(f(ramp(7, 5), 0)), "in the cache");
  EXPECT_EQ(why(f(ramp(8, 9), 1)), "new: another attribute, such as an axis");
  EXPECT_EQ(why(f(ramp(8, 8), 0)), "new: an extent became 1, or equal to another, or ceased to be");
  EXPECT_EQ(why(f(astype(ramp(8, 9), DType::float64), 0)), "new: a structure not seen before");
  const Array x = ramp(8, 9), y = exp(x), z = sum(y * 2, 0, false);
  EXPECT_EQ(why(z), "new: the program holds other results");
}

TEST(Explain, MeasuresWhatItRuns) {
  const Array x = ramp(64, 64);
  const Array y = sort(exp(x), 1);
  const debug::Explanation e = debug::explain(std::span(&y, 1), true);
  EXPECT_TRUE(y.is_evaluated());
  EXPECT_TRUE(e.analyzed);
  ASSERT_EQ(e.steps.size(), 2u);
  for (const debug::PlannedStep& step : e.steps) EXPECT_GE(step.duration_ns, 0);
  const std::string text = debug::to_string(e);
  EXPECT_NE(text.find("GB/s"), std::string::npos) << text;
  EXPECT_NE(text.find("2 operations in 2 steps"), std::string::npos) << text;
}

TEST(Explain, GoesBesideEvaluations) {
  const Array x = ramp(16, 16);
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t)
    threads.emplace_back([&, explains = t % 2 == 0] {
      for (int round = 0; round < 200; ++round) {
        const Array y = exp(x * static_cast<double>(round)) + x;
        if (explains)
          EXPECT_LE(debug::explain(std::span(&y, 1), round % 3 == 0).steps.size(), 1u);
        else
          EXPECT_EQ(y.to_vector<float>().size(), 256u);
      }
    });
  for (auto& thread : threads) thread.join();
}

}  // namespace
}  // namespace plait
