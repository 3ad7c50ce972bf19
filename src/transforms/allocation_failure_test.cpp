// A training step that runs out of memory at each of its allocations: array memory, and every operator new. Whatever fails
// is an exception, arrays of before keep their values, and the same step gives the same numbers once there is memory.
#include <gtest/gtest.h>

#include <cstdint>
#include <functional>
#include <new>
#include <utility>
#include <vector>

#include "engine/engine.h"
#include "plait/array.h"
#include "plait/fail_allocation.h"
#include "plait/more_ops.h"
#include "plait/ops.h"
#include "plait/stream.h"
#include "plait/transforms.h"

// tests/failing_new.cpp, which stands in for this program's operator new.
extern "C" void fail_new(int64_t count, int all);
extern "C" int64_t news_left();

namespace plait {
namespace {

using Values = std::vector<std::vector<float>>;

Values values_of(const Arrays& arrays) {
  Values out;
  for (const Array& a : arrays) out.push_back(a.to_vector<float>());
  return out;
}

Arrays loss(const Arrays& in) {
  const Array hidden = tanh(matmul(in[3], in[0]) + in[1]);
  const Array logits = matmul(hidden, in[2]);
  return {mean(logsumexp(logits, -1) - take_along_axis(logits, in[4], -1))};
}

struct Training {
  Arrays parameters, momenta;
  Array x, labels;

  Training() {
    const auto filled = [](const Shape& shape, double by) {
      return sin(reshape(arange(Scalar(0.0), Scalar(static_cast<double>(shape.count_value()))), shape) * by);
    };
    parameters = Arrays{filled({5, 8}, 1.1), filled({8}, 0.3), filled({8, 3}, 0.7)};
    for (const Array& p : parameters) momenta.push_back(zeros_like(p));
    x = filled({6, 5}, 0.9);
    labels = Array::from<int32_t>(std::vector<int32_t>{0, 1, 2, 2, 1, 0}, {6, 1});
    Arrays all = parameters;
    all.insert(all.end(), momenta.begin(), momenta.end());
    all.push_back(x);
    eval(all);
  }

  /// The parameters and momenta after one step of gradient descent, evaluated by `evaluate`.
  Arrays step(const std::function<void(const Arrays&)>& evaluate) const {
    Arrays in = parameters;
    in.insert(in.end(), {x, labels});
    const Arrays gradients = value_and_grad(loss, {0, 1, 2})(in).second;
    Arrays after;
    for (size_t i = 0; i < parameters.size(); ++i) {
      const Array momentum = momenta[i] * 0.9 + gradients[i];
      after.push_back(parameters[i] - momentum * 0.1);
      after.push_back(momentum);
    }
    evaluate(after);
    return after;
  }
};

void evaluated(const Arrays& arrays) { eval(arrays); }
void evaluated_in_the_background(const Arrays& arrays) {
  async_eval(arrays);
  for (const Array& a : arrays) a.eval();
}

/// Runs the step with each allocation failing that `arm` counts; how many there were.
template <class Arm>
int64_t with_each_failing(Arm arm, const std::function<void(const Arrays&)>& evaluate, bool forget_plans) {
  const Training training;
  const Values before = values_of(training.parameters), want = values_of(training.step(evaluated));
  for (int64_t n = 0;; ++n) {
    if (forget_plans) engine::clear_plan_cache();
    bool raised = false;
    arm(n);
    try {
      training.step(evaluate);
    } catch (const OutOfMemory&) {
      raised = true;
    } catch (const std::bad_alloc&) {
      raised = true;
    }
    if (arm(-1) >= 0) {  // the step came to its end before
      EXPECT_FALSE(raised);
      return n;
    }
    synchronize(default_stream({}));
    EXPECT_EQ(values_of(training.parameters), before) << "allocation " << n;
    EXPECT_EQ(values_of(training.step(evaluated)), want) << "allocation " << n;
    if (testing::Test::HasFailure()) return n;
  }
}

int64_t arm_arrays(int64_t n) { return debug::fail_allocation(n); }
int64_t arm_news(int64_t n) {
  const int64_t left = news_left();
  fail_new(n, 0);
  return left;
}

TEST(AllocationFailure, OfArrays) {
  EXPECT_GT(with_each_failing(arm_arrays, evaluated, false), 5);
  EXPECT_GT(with_each_failing(arm_arrays, evaluated_in_the_background, true), 5);
}

TEST(AllocationFailure, OfEveryObjectWithAKnownPlan) {
  EXPECT_GT(with_each_failing(arm_news, evaluated, false), 100);
  EXPECT_GT(with_each_failing(arm_news, evaluated_in_the_background, false), 100);
}

TEST(AllocationFailure, OfEveryObjectWhilePlanning) { EXPECT_GT(with_each_failing(arm_news, evaluated, true), 200); }

TEST(AllocationFailure, OfEveryObjectWhileTracing) {
  const Training training;
  Arrays in = training.parameters;
  in.insert(in.end(), {training.x, training.labels});
  const auto run = [&](const Function& f) { return values_of(f(in)); };
  const Values want = run(loss);
  int64_t n = 0;
  for (;; ++n) {
    const Function compiled = compile(loss);
    arm_news(n);
    try {
      run(compiled);
    } catch (const OutOfMemory&) {
    } catch (const std::bad_alloc&) {}
    if (arm_news(-1) >= 0) break;
    ASSERT_EQ(run(compiled), want) << "allocation " << n;
  }
  EXPECT_GT(n, 100);
}

// A result that took over the memory of a parameter nobody else holds is lost with it, and says so; what is held is not.
TEST(AllocationFailure, WithDonatedMemory) {
  for (int64_t n = 0;; ++n) {
    Training training;
    const Values held = values_of({training.x});
    arm_arrays(n);
    try {
      training.parameters = training.step(evaluated);
    } catch (const OutOfMemory&) {}
    const bool ended = arm_arrays(-1) >= 0;
    ASSERT_EQ(values_of({training.x}), held);
    ASSERT_EQ(values_of({training.x + 1.0}).size(), 1U);
    if (ended) break;
  }
}

}  // namespace
}  // namespace plait
