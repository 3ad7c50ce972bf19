// What errors say was around an operation, and the eager switch.
#include <gtest/gtest.h>

#include <cmath>
#include <thread>

#include "graph/node.h"
#include "plait/debug.h"
#include "plait/ops.h"
#include "plait/transforms.h"

namespace plait {
namespace {

Array wave(int64_t rows, int64_t cols) {
  std::vector<double> v(static_cast<size_t>(rows * cols));
  for (size_t i = 0; i < v.size(); ++i) v[i] = 1.3 + std::sin(1.7 * static_cast<double>(i));
  return Array::from<double>(v, Shape{rows, cols});
}
Array total(const Array& a) { return sum(a, Axes(), false); }

TEST(Debugging, ErrorsNameWhatIsAround) {
  const auto under = [] { return describe_source(current_source()); };
  EXPECT_EQ(under(), "");
  const auto made_under = [](const Array& a) { return describe_source(a.node()->source); };
  std::string seen;
  const Function f = [&](const Arrays& in) -> Arrays {
    seen = under();
    return {total(exp(in[0]))};
  };
  (void)grad(f)({wave(1, 2)});
  EXPECT_EQ(seen, "under grad");
  const Function compiled = compile(vmap(grad(f)));
  for (int call = 0; call < 2; ++call) EXPECT_EQ(made_under(compiled({wave(3, 2)})[0]), "under compile > vmap > grad");
  Array inside;
  const Function outer = [&](const Arrays& in) -> Arrays {
    const TransformScope scope("loop of body");
    inside = compiled({in[0]})[0];
    return {total(inside)};
  };
  (void)grad(outer)({wave(3, 2)});
  EXPECT_EQ(made_under(inside), "under grad > loop of body > compile > vmap > grad");
  EXPECT_EQ(under(), "");
  std::thread([&] {
    const TransformScope scope("mine");
    EXPECT_EQ(under(), "under mine");
  }).join();
}

TEST(Debugging, EagerLeavesOnlyUnknownsInTheGraph) {
  const bool before = debug::set_eager(true);
  EXPECT_TRUE(exp(wave(2, 2)).is_evaluated());
  std::vector<bool> evaluated;
  const Function f = [&](const Arrays& in) -> Arrays {
    const Array y = in[0] * exp(in[0]);
    evaluated.push_back(y.is_evaluated());
    evaluated.push_back(zeros(in[0].shape(), DType::float64).is_evaluated());
    return {total(y)};
  };
  const Array x = wave(2, 2);
  const std::vector<double> gradient = grad(f)({x})[0].to_vector<double>();
  (void)vmap(f)({x});
  EXPECT_EQ(compile(f)({x})[0].to_vector<double>(), f({x})[0].to_vector<double>());
  debug::set_eager(before);
  EXPECT_EQ(gradient, grad(f)({x})[0].to_vector<double>());
  EXPECT_EQ((std::vector<bool>(evaluated.begin(), evaluated.begin() + 4)),
            (std::vector<bool>{true, true, false, true}));
  EXPECT_FALSE(exp(x).is_evaluated());
}

}  // namespace
}  // namespace plait
