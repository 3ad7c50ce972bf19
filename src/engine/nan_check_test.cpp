#include "engine/nan_check.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <thread>

#include "plait/array.h"
#include "plait/error.h"
#include "plait/ops.h"

namespace plait {
namespace {

constexpr float kInf = std::numeric_limits<float>::infinity();

Array floats(std::vector<float> values, Shape shape) { return Array::from<float>(values, shape); }

class NanChecks : public ::testing::Test {
 protected:
  void TearDown() override { debug::set_nan_check({}); }
  static ErrorInfo found(const Array& a, debug::NanCheck check = {.nan = true}) {
    const debug::NanCheck before = debug::set_nan_check(check);
    ErrorInfo info;
    try {
      a.eval();
      ADD_FAILURE() << "no NaN was found";
    } catch (const NanError& e) {
      info = e.info();
    }
    debug::set_nan_check(before);
    return info;
  }
};

TEST_F(NanChecks, NameTheOperation) {
  const Array x = floats({4, -1, 9, -4}, {2, 2});
  const Array y = sqrt(x) * 2 + 1;
  const ErrorInfo info = found(y);
  EXPECT_EQ(info.op, "sqrt");
  EXPECT_EQ(info.got,
            "2 of 4 elements of the result are NaN, the first at [0, 1], where a = -1; shape (2, 2), dtype float32");
  EXPECT_EQ(info.hint, "");
  EXPECT_FALSE(y.is_evaluated());
  EXPECT_TRUE(std::isnan(y.to_vector<float>()[1]));  // without the check it is a value like others
}

TEST_F(NanChecks, LookThroughStridesAndBroadcasts) {
  const Array x = floats({1, 0, 2, 3, 4, 5}, {2, 3});
  x.eval();
  const ErrorInfo info = found(transpose(x, Axes()) / transpose(floats({1, 0, 1}, {1, 3}), Axes()) * 2);
  EXPECT_EQ(info.op, "divide");
  EXPECT_EQ(
      info.got,
      "1 of 6 elements of the result are NaN, the first at [1, 0], where a = 0, b = 0; shape (3, 2), dtype float32");
}

TEST_F(NanChecks, TellWhatWasThereBefore) {
  const Array x = floats({1, NAN}, {2});
  EXPECT_EQ(found(x + 1).hint.rfind("the operand a was so before", 0), 0u);
  EXPECT_EQ(found(exp(Array(double{NAN})) + x).op, "exp");
}

TEST_F(NanChecks, LookIntoRegionsWhenAsked) {
  const Array x = floats({4, -1}, {2});
  const auto safe = [&] { return where(x > 0.0, sqrt(x), Array(0.0F)); };
  debug::set_nan_check({.nan = true});
  EXPECT_EQ(safe().to_vector<float>(), (std::vector<float>{2, 0}));
  debug::set_nan_check({});
  EXPECT_EQ(found(safe(), {.nan = true, .deep = true}).op, "sqrt");
  EXPECT_EQ(found(safe() * kInf).op, "multiply");  // 0 * inf: the NaN that vanished is not to blame
  EXPECT_EQ(found(1 / (safe() + 0.0), {.nan = true, .inf = true}).op, "divide");
}

TEST_F(NanChecks, OverwriteNothing) {
  Array x = floats({1, 2}, {2}) + 1;
  x.eval();
  const Array bad = log(x - 3) + x;
  const Array root = x * 1;
  x = Array();
  (void)found(bad);
  EXPECT_EQ(root.to_vector<float>(), (std::vector<float>{2, 3}));
}

TEST_F(NanChecks, AreOfTheThread) {
  const Array bad = log(floats({-1}, {1}));
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t)
    threads.emplace_back([&, checked = t % 2 == 0] {
      for (int round = 0; round < 50; ++round) {
        const Array mine = bad + static_cast<double>(round);
        if (checked)
          (void)found(mine * floats({1}, {1}));
        else
          EXPECT_TRUE(std::isnan((mine * floats({2}, {1})).to_vector<float>()[0]));
      }
    });
  for (auto& t : threads) t.join();
}

}  // namespace
}  // namespace plait
