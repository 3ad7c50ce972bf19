// Loops, branches and Jacobians as a user of the library has them.
#include "plait/control_flow.h"

#include <gtest/gtest.h>

#include <vector>

#include "plait/jacobian.h"
#include "plait/ops.h"

using plait::Array;
using plait::Arrays;

TEST(ControlFlow, IsInTheLibrary) {
  const Array xs = Array::from<float>(std::vector<float>{1, 2, 3}, {3});
  const auto running_sum = [](const Arrays& carry, const Arrays& x) {
    const Arrays next{carry[0] + x[0]};
    return std::pair(next, next);
  };
  const auto [last, sums] = plait::scan(running_sum, {Array(0.0f)}, {xs});
  EXPECT_EQ(last[0].item<float>(), 6);
  EXPECT_EQ(sums[0].to_vector<float>(), (std::vector<float>{1, 3, 6}));
  EXPECT_EQ(plait::map([](const Arrays& x) { return Arrays{x[0] * 2}; }, {xs})[0].to_vector<float>(),
            (std::vector<float>{2, 4, 6}));
  const Arrays doubled = plait::while_loop([](const Arrays& v) { return Arrays{v[0] < 100}; },
                                           [](const Arrays& v) { return Arrays{v[0] * 2}; }, {Array(3.0f)});
  EXPECT_EQ(doubled[0].item<float>(), 192);
  const Arrays taken = plait::cond(
      plait::any(xs > 2), [](const Arrays& a) { return Arrays{a[0] + 1}; }, [](const Arrays& a) { return a; }, {xs});
  EXPECT_EQ(taken[0].to_vector<float>(), (std::vector<float>{2, 3, 4}));
}

TEST(ControlFlow, IsDifferentiated) {
  const auto power = [](const Arrays& in) {
    const auto step = [&](const Arrays& carry, const Arrays&) { return std::pair(Arrays{carry[0] * in[0]}, Arrays{}); };
    return plait::scan(step, {Array(1.0f)}, {}, plait::Dim(4)).first;
  };
  EXPECT_EQ(plait::grad(power)({Array(2.0f)})[0].item<float>(), 32);
  EXPECT_EQ(plait::jacfwd(power)({Array(2.0f)})[0].item<float>(), 32);
  EXPECT_EQ(plait::hessian(power)({Array(2.0f)})[0].item<float>(), 48);
}
