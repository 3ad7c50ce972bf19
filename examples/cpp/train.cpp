// Trains a two-layer network to tell the two arms of a spiral apart. Exits with 1 when it does not learn to.
#include <cmath>
#include <cstdio>
#include <vector>

#include "plait/array.h"
#include "plait/ops.h"
#include "plait/random.h"
#include "plait/transforms.h"

namespace {

using plait::Array;
using plait::Arrays;

constexpr int kPoints = 256;
constexpr int kHidden = 64;
constexpr int kSteps = 400;

struct Data {
  Array points;  // (kPoints, 2)
  Array labels;  // (kPoints,), 0 or 1
};

// Two arms, half a turn apart, each going round once and a quarter.
Data spiral() {
  const Array radius = plait::linspace(0.1, 1.0, kPoints / 2);
  const Array angle = radius * 7.85;
  const Array arm = plait::stack({radius * plait::cos(angle), radius * plait::sin(angle)}, 1);  // (kPoints / 2, 2)
  const Array noise = plait::random::normal({kPoints, 2}) * 0.02;
  return {plait::concatenate({arm, -arm}) + noise,
          plait::concatenate({plait::zeros({kPoints / 2}), plait::ones({kPoints / 2})})};
}

// Parameters: w1 (2, kHidden), b1 (kHidden,), w2 (kHidden, 1), b2 (1,). Result: (rows of x,), above 0 for label 1.
Array logits(const Array& w1, const Array& b1, const Array& w2, const Array& b2, const Array& x) {
  const Array hidden = plait::tanh(plait::matmul(x, w1) + b1);
  return plait::squeeze(plait::matmul(hidden, w2) + b2, -1);
}

// Cross entropy of labels and the logistic function of the logits; log(1 + exp(z)) without overflow.
Arrays loss(const Arrays& in) {
  const Array z = logits(in[0], in[1], in[2], in[3], in[4]);
  return {plait::mean(plait::logaddexp(z, 0.0f) - in[5] * z)};
}

// Kingma and Ba, 2015, "Adam: A Method for Stochastic Optimization".
class Adam {
 public:
  Adam(const Arrays& parameters, double rate) : rate_(rate) {
    for (const Array& p : parameters) {
      mean_.push_back(plait::zeros_like(p));
      square_.push_back(plait::zeros_like(p));
    }
  }

  void update(Arrays& parameters, const Arrays& gradients) {
    ++step_;
    const double scale = rate_ * std::sqrt(1 - std::pow(kDecay2, step_)) / (1 - std::pow(kDecay1, step_));
    for (size_t i = 0; i < parameters.size(); ++i) {
      mean_[i] = mean_[i] * kDecay1 + gradients[i] * (1 - kDecay1);
      square_[i] = square_[i] * kDecay2 + gradients[i] * gradients[i] * (1 - kDecay2);
      parameters[i] = parameters[i] - mean_[i] * scale / (plait::sqrt(square_[i]) + 1e-8);
    }
  }

  // What has to be evaluated beside the parameters, so that no step waits in memory for another.
  Arrays state() const {
    Arrays all = mean_;
    all.insert(all.end(), square_.begin(), square_.end());
    return all;
  }

 private:
  static constexpr double kDecay1 = 0.9;
  static constexpr double kDecay2 = 0.999;
  double rate_;
  int step_ = 0;
  Arrays mean_, square_;
};

}  // namespace

int main() {
  plait::random::seed(1);
  const Data data = spiral();
  Arrays parameters = {plait::random::normal({2, kHidden}) * 2.0, plait::zeros({kHidden}),
                       plait::random::normal({kHidden, 1}) / std::sqrt(double{kHidden}), plait::zeros({1})};
  Adam adam(parameters, 0.02);
  const auto loss_and_gradients = plait::value_and_grad(loss, {0, 1, 2, 3});

  float first = 0;
  float last = 0;
  for (int step = 0; step <= kSteps; ++step) {
    Arrays in = parameters;
    in.insert(in.end(), {data.points, data.labels});
    const auto [value, gradients] = loss_and_gradients(in);
    adam.update(parameters, gradients);
    Arrays now = adam.state();
    now.insert(now.end(), parameters.begin(), parameters.end());
    now.push_back(value[0]);
    plait::eval(now);  // nothing ran before this line
    last = value[0].item<float>();
    if (step == 0) first = last;
    if (step % 100 == 0) std::printf("step %3d  loss %.4f\n", step, static_cast<double>(last));
  }

  const Array z = logits(parameters[0], parameters[1], parameters[2], parameters[3], data.points);
  const Array right = plait::equal(plait::greater(z, 0.0f), plait::greater(data.labels, 0.5f));
  const float accuracy = plait::mean(plait::astype(right, plait::DType::float32)).item<float>();
  std::printf("accuracy %.3f\n", static_cast<double>(accuracy));
  return last < first / 10 && accuracy > 0.98f ? 0 : 1;
}
