#include <gtest/gtest.h>

#include <cmath>
#include <functional>

#include "backends/kernel.h"
#include "engine/engine.h"
#include "graph/registry.h"
#include "ops/nn/convolution.h"
#include "plait/more_ops.h"
#include "plait/ops.h"
#include "plait/transforms.h"

namespace plait {
namespace {

using Ints = std::vector<int64_t>;
[[maybe_unused]] const auto engine_linked = engine::plan_cache_stats();

struct Case {
  const char* name;
  Ints x, w;
  IntList stride = 1, low = 0, high = 0, dilation = 1, spread = 1;
  int64_t groups = 1;
  bool flip = false;
};

std::ostream& operator<<(std::ostream& out, const Case& c) { return out << c.name; }

int64_t count(const Ints& shape) {
  int64_t n = 1;
  for (int64_t d : shape) n *= d;
  return n;
}
std::vector<double> numbers(int64_t n, double seed) {
  std::vector<double> v(static_cast<size_t>(n));
  for (size_t i = 0; i < v.size(); ++i) v[i] = std::sin(1.7 * static_cast<double>(i) + seed);
  return v;
}
Array made(const Ints& shape, double seed, DType dtype = DType::float64) {
  const auto v = numbers(count(shape), seed);
  return astype(Array::from<double>(v, Shape(std::span<const int64_t>(shape))), dtype);
}
std::vector<double> doubles(const Array& a) { return astype(a, DType::float64).to_vector<double>(); }

Array run(const Case& c, const Array& x, const Array& w) {
  return conv_general(x, w, c.stride, c.low, c.high, c.dilation, c.spread, c.groups, c.flip);
}

int64_t at(const IntList& list, size_t axis) { return list.size() == 1 ? list[0] : list[axis]; }

/// The definition in loops, over any number of axes.
std::vector<double> looped(const Case& c, const std::vector<double>& x, const std::vector<double>& w, Ints& shape) {
  const size_t rank = c.x.size() - 2;
  Ints out(rank), k(rank);
  shape = {c.x[0]};
  for (size_t i = 0; i < rank; ++i) {
    k[i] = c.w[i + 1];
    out[i] =
        ((c.x[i + 1] - 1) * at(c.spread, i) + 1 + at(c.low, i) + at(c.high, i) - (k[i] - 1) * at(c.dilation, i) - 1) /
            at(c.stride, i) +
        1;
    shape.push_back(out[i]);
  }
  const int64_t places = c.x[0] == 0 ? 0 : count(c.x) / c.x[0] / c.x.back();
  const int64_t channels = c.x.back(), seen = c.w.back(), made = c.w[0], per_group = made / c.groups;
  shape.push_back(made);
  std::vector<double> y(static_cast<size_t>(count(shape)));
  for (int64_t n = 0; n < c.x[0]; ++n)
    for (int64_t p = 0; p < count(out); ++p)
      for (int64_t o = 0; o < made; ++o) {
        double sum = 0;
        for (int64_t q = 0; q < count(k); ++q) {
          int64_t from = 0, rest_p = p, rest_q = q, step = 1;
          bool inside = true;
          for (size_t i = rank; i-- > 0;) {
            const int64_t kernel = rest_q % k[i];
            const int64_t place = rest_p % out[i] * at(c.stride, i) +
                                  (c.flip ? k[i] - 1 - kernel : kernel) * at(c.dilation, i) - at(c.low, i);
            rest_p /= out[i];
            rest_q /= k[i];
            if (place < 0 || place % at(c.spread, i) != 0 || place / at(c.spread, i) >= c.x[i + 1]) inside = false;
            from += place / at(c.spread, i) * step;
            step *= c.x[i + 1];
          }
          if (!inside) continue;
          for (int64_t s = 0; s < seen; ++s)
            sum += x[static_cast<size_t>((n * places + from) * channels + o / per_group * seen + s)] *
                   w[static_cast<size_t>((o * count(k) + q) * seen + s)];
        }
        y[static_cast<size_t>((n * count(out) + p) * made + o)] = sum;
      }
  return y;
}

const Case kCases[] = {
    {"plain", {2, 5, 6, 3}, {4, 3, 2, 3}},
    {"padded", {2, 5, 6, 3}, {4, 3, 3, 3}, 1, 1, 1},
    {"wide", {3, 8, 8, 16}, {32, 3, 3, 16}, 1, 1, 1},
    {"strided", {2, 9, 8, 4}, {5, 3, 3, 4}, {2, 3}, 1, 1},
    {"dilated", {1, 9, 8, 4}, {5, 3, 2, 4}, 1, {2, 1}, {2, 1}, {2, 3}},
    {"uneven", {2, 6, 7, 3}, {2, 3, 3, 3}, {2, 1}, {0, 2}, {3, 1}},
    {"cut off", {2, 8, 9, 3}, {2, 2, 3, 3}, 1, {-1, -2}, {-2, 1}},
    {"far padding", {1, 3, 3, 2}, {2, 2, 2, 2}, 1, 4, 5},
    {"grouped", {2, 5, 5, 6}, {4, 3, 3, 3}, 1, 1, 1, 1, 1, 2},
    {"depthwise", {2, 6, 6, 8}, {8, 3, 3, 1}, {1, 2}, 1, 1, 1, 1, 8},
    {"depthwise, two each", {2, 6, 6, 8}, {16, 3, 3, 1}, 1, 1, 1, 1, 1, 8},
    {"flipped", {2, 5, 6, 3}, {4, 3, 2, 3}, 2, 1, 1, 1, 1, 1, true},
    {"spread", {2, 4, 3, 4}, {6, 3, 3, 2}, 1, 1, {1, 2}, {2, 1}, {2, 3}, 2},
    {"spread and flipped", {2, 4, 3, 4}, {6, 3, 3, 4}, 1, 1, 1, 1, 2, 1, true},
    {"a point", {1, 1, 1, 1}, {1, 1, 1, 1}},
    {"no batch", {0, 4, 4, 3}, {2, 3, 3, 3}},
    {"one axis", {3, 11, 4}, {6, 3, 4}, 2, 1, 1, 2},
    {"three axes", {2, 4, 5, 3, 2}, {3, 2, 3, 2, 2}, {1, 2, 1}, {1, 0, 1}, {0, 1, 1}},
    {"three axes, grouped", {1, 4, 3, 3, 4}, {6, 2, 2, 2, 2}, 1, 1, 1, {1, 2, 1}, 1, 2},
    {"many images", {37, 8, 8, 8}, {16, 3, 3, 8}, 1, 1, 1},
    {"one large image", {1, 40, 33, 8}, {8, 3, 3, 8}, {1, 2}, 1, 1},
};

class Convolution : public testing::TestWithParam<Case> {};

TEST_P(Convolution, AgreesWithLoops) {
  const Case& c = GetParam();
  Ints shape;
  const auto want = looped(c, numbers(count(c.x), 0), numbers(count(c.w), 1), shape);
  const double terms = static_cast<double>(count(c.w)) / static_cast<double>(c.w[0]);
  for (const auto& [dtype, tolerance] :
       {std::pair{DType::float64, 1e-12}, {DType::float32, 2e-6}, {DType::float16, 4e-3}, {DType::bfloat16, 3e-2}}) {
    const Array y = run(c, made(c.x, 0, dtype), made(c.w, 1, dtype));
    EXPECT_EQ(y.shape().values(), shape);
    EXPECT_EQ(y.dtype(), dtype);
    const auto got = doubles(y);
    for (size_t i = 0; i < want.size(); ++i)
      ASSERT_NEAR(got[i], want[i], tolerance * std::sqrt(terms) * 2) << name_of(dtype) << " at " << i;
  }
}

Function weighted(const Case& c) {
  return [c](const Arrays& in) {
    const Array y = run(c, in[0], in[1]);
    return Arrays{sum(y * made(y.shape().values(), 2, y.dtype()), Axes(), false)};
  };
}

TEST_P(Convolution, GradientsAgreeWithDifferences) {
  const Case& c = GetParam();
  const Function f = weighted(c);
  const Arrays in{made(c.x, 0), made(c.w, 1)};
  const Arrays grads = grad(f, {0, 1})(in);
  for (size_t which = 0; which < 2; ++which) {
    const auto got = doubles(grads[which]);
    auto values = doubles(in[which]);
    ASSERT_EQ(got.size(), values.size());
    const size_t step = values.size() / 7 + 1;
    for (size_t i = 0; i < values.size(); i += step) {
      const auto shifted = [&](double by) {
        auto moved = values;
        moved[i] += by;
        Arrays arguments = in;
        arguments[which] = Array::from<double>(moved, in[which].shape());
        return f(arguments)[0].item<double>();
      };
      EXPECT_NEAR(got[i], (shifted(0.5) - shifted(-0.5)), 1e-9) << "input " << which << " at " << i;  // linear in each
    }
    const Arrays single{made(c.x, 0, DType::float32), made(c.w, 1, DType::float32)};
    const auto narrow = doubles(grad(f, {0, 1})(single)[which]);
    for (size_t i = 0; i < got.size(); ++i)
      ASSERT_NEAR(narrow[i], got[i], 2e-5 + 2e-5 * std::abs(got[i])) << "input " << which << " at " << i;
  }
}

TEST_P(Convolution, SecondGradientsAgreeWithDifferences) {
  const Case& c = GetParam();
  if (count(c.x) == 0) return;  // nothing to move
  const Function first = [f = weighted(c)](const Arrays& in) {
    const Arrays g = grad(f, {0, 1})(in);
    return Arrays{sum(square(g[0]), Axes(), false) + sum(square(g[1]), Axes(), false)};
  };
  const Arrays in{made(c.x, 0), made(c.w, 1)};
  const Arrays grads = grad(first, {0, 1})(in);
  for (size_t which = 0; which < 2; ++which) {
    const auto values = doubles(in[which]);
    const size_t i = values.size() / 2;
    const auto shifted = [&](double by) {
      auto moved = values;
      moved[i] += by;
      Arrays arguments = in;
      arguments[which] = Array::from<double>(moved, in[which].shape());
      return first(arguments)[0].item<double>();
    };
    const double got = doubles(grads[which])[i];
    EXPECT_NEAR(got, shifted(0.5) - shifted(-0.5), 1e-8 * (1 + std::abs(got)));  // quadratic
  }
}

TEST_P(Convolution, TangentsAndBatches) {
  const Case& c = GetParam();
  const Function f = [c](const Arrays& in) { return Arrays{run(c, in[0], in[1])}; };
  const Array x = made(c.x, 0), w = made(c.w, 1), dx = made(c.x, 3), dw = made(c.w, 4);
  const auto tangent = doubles(jvp(f, {x, w}, {dx, dw}).second[0]);
  const auto want = doubles(run(c, dx, w) + run(c, x, dw));
  for (size_t i = 0; i < want.size(); ++i) ASSERT_NEAR(tangent[i], want[i], 1e-11);

  const auto batched = [](Ints shape) {
    shape.insert(shape.begin(), 3);
    return shape;
  };
  const Array xs = made(batched(c.x), 5), ws = made(batched(c.w), 6);
  const auto one = [](const Array& a, int i) {
    const auto all = doubles(a);
    const size_t size = all.size() / 3;
    return Array::from<double>(std::vector<double>(all.begin() + static_cast<int64_t>(size) * i,
                                                   all.begin() + static_cast<int64_t>(size) * (i + 1)),
                               Shape(a.shape().begin() + 1, a.shape().end()));
  };
  const Function gradients = grad(weighted(c), {0, 1});
  for (const auto& [x_axis, w_axis] : {std::pair{0, kNotMapped}, {kNotMapped, 0}, {0, 0}}) {
    const Arrays in{x_axis == 0 ? xs : x, w_axis == 0 ? ws : w};
    const Array y = vmap(f, {x_axis, w_axis})(in)[0];
    const Arrays g = vmap(gradients, {x_axis, w_axis})(in);
    for (int i = 0; i < 3; ++i) {
      const Arrays single{x_axis == 0 ? one(xs, i) : x, w_axis == 0 ? one(ws, i) : w};
      const Arrays expected{f(single)[0], gradients(single)[0], gradients(single)[1]};
      const Arrays results{y, g[0], g[1]};
      for (size_t k = 0; k < 3; ++k) {
        const auto a = doubles(one(results[k], i)), b = doubles(expected[k]);
        ASSERT_EQ(a.size(), b.size());
        for (size_t j = 0; j < a.size(); ++j) ASSERT_NEAR(a[j], b[j], 1e-10) << "result " << k;
      }
    }
  }
}

/// A kernel of the reference backend, whatever the engine would choose.
std::vector<double> reference(const char* op, const ConvolutionAttrs& attrs, const Array& a, const Array& b,
                              const Shape& result) {
  const auto view = [](std::vector<double>& values, const Shape& shape) {
    TensorView v{.data = values.data(), .dtype = DType::float64, .shape = {}, .strides = {}};
    for (const int64_t d : shape.values()) v.shape.push_back(d);
    for (const int64_t s : row_major_strides(shape)) v.strides.push_back(s);
    return v;
  };
  auto first = doubles(a), second = doubles(b);
  std::vector<double> out(static_cast<size_t>(result.count_value()));
  const TensorView in[] = {view(first, a.shape()), view(second, b.shape())}, to[] = {view(out, result)};
  kernels()
      .find(op, Backend::reference)
      ->run({.op = op, .inputs = in, .outputs = to, .attrs = AttrsView(&registry().find(op)->attrs, &attrs)});
  return out;
}

TEST_P(Convolution, ReferenceAgrees) {
  const Case& c = GetParam();
  if (c.flip || c.spread != IntList(1)) return;  // no settings of the kernels
  const Array x = made(c.x, 0), w = made(c.w, 1);
  const size_t rank = c.x.size() - 2;
  ConvolutionAttrs attrs{{}, {}, {}, {}, c.groups};
  for (size_t i = 0; i < rank; ++i) {
    attrs.stride.push_back(at(c.stride, i));
    attrs.dilation.push_back(at(c.dilation, i));
    attrs.padding.push_back(at(c.low, i));
  }
  Ints shape;
  const auto want = looped(c, doubles(x), doubles(w), shape);
  const Array y = made(shape, 2);
  const auto got = reference("convolution", attrs, x, w, y.shape());
  for (size_t i = 0; i < want.size(); ++i) ASSERT_NEAR(got[i], want[i], 1e-11);
  const Arrays grads = grad(weighted(c), {0, 1})({x, w});
  const auto by_x = reference("convolution_input", attrs, y, w, x.shape()),
             by_w = reference("convolution_weight", attrs, x, y, w.shape());
  const auto want_x = doubles(grads[0]), want_w = doubles(grads[1]);
  for (size_t i = 0; i < by_x.size(); ++i) ASSERT_NEAR(by_x[i], want_x[i], 1e-10);
  for (size_t i = 0; i < by_w.size(); ++i) ASSERT_NEAR(by_w[i], want_w[i], 1e-10);
}

INSTANTIATE_TEST_SUITE_P(All, Convolution, testing::ValuesIn(kCases), [](const auto& info) {
  std::string name;
  for (const char* p = info.param.name; *p; ++p) name += std::isalnum(static_cast<unsigned char>(*p)) ? *p : '_';
  return name;
});

TEST(ConvTranspose, IsTheGradientOfAConvolution) {
  const Array w = made({6, 3, 2, 4}, 1), y = made({2, 3, 4, 6}, 0);
  const Array x0 = made({2, 6, 5, 4}, 2);
  const Function f = [&](const Arrays& in) { return Arrays{conv2d(in[0], w, {2, 1}, {1, 0})}; };
  const auto want = doubles(vjp(f, {x0}, {y}).second[0]);
  const auto got = doubles(conv_transpose2d(y, transpose(w, Axes{3, 1, 2, 0}), {2, 1}, {1, 0}, 1, {1, 0}));
  ASSERT_EQ(got.size(), want.size());
  for (size_t i = 0; i < want.size(); ++i) ASSERT_NEAR(got[i], want[i], 1e-12);
}

TEST(ConvTranspose, HasTheExtentsOfTheFormula) {
  EXPECT_EQ(conv_transpose1d(made({1, 4, 4}, 0), made({6, 3, 2}, 1), 2, 1, 2, 1, 2).shape().values(), (Ints{1, 10, 6}));
  EXPECT_EQ(conv_transpose2d(made({1, 4, 4, 4}, 0), made({6, 3, 3, 4}, 1), 2, {4, 0}, 2).shape().values(),
            (Ints{1, 3, 11, 6}));
  EXPECT_EQ(conv_transpose3d(made({1, 2, 3, 2, 2}, 0), made({3, 2, 2, 2, 2}, 1), 2, {1, 0, 0}).shape().values(),
            (Ints{1, 2, 6, 4, 3}));
}

TEST(Conv, RefusesWhatDoesNotFit) {
  const Array x = made({1, 5, 5, 4}, 0), w = made({4, 3, 3, 4}, 1);
  EXPECT_THROW(conv2d(x, made({4, 3, 3, 3}, 1)), ShapeError);
  EXPECT_THROW(conv2d(x, made({4, 3, 4}, 1)), ShapeError);
  EXPECT_THROW(conv1d(x, w), ShapeError);
  EXPECT_THROW(conv2d(x, made({4, 7, 3, 4}, 1)), ShapeError);
  EXPECT_THROW(conv2d(x, made({3, 3, 3, 2}, 1), 1, 0, 1, 2), ShapeError);
  EXPECT_THROW(conv2d(x, w, 0), ArgumentError);
  EXPECT_THROW(conv2d(x, w, {1, 2, 3}), ArgumentError);
  EXPECT_THROW(conv2d(astype(x, DType::int32), w), DTypeError);
}

TEST(Conv, OneTraceServesEveryExtent) {
  CompiledFunction f([](const Arrays& in) {
    return grad([](const Arrays& a) { return Arrays{sum(square(conv2d(a[0], a[1], 2, 1)), Axes(), false)}; },
                {0, 1})(in);
  });
  for (const int64_t n : {3, 4, 5}) {
    const Arrays in{made({n, 5 + n, 7, 3}, 0), made({4, 3, 3, 3}, 1)};
    const Arrays got = f(in);
    const Arrays want =
        grad([](const Arrays& a) { return Arrays{sum(square(conv2d(a[0], a[1], 2, 1)), Axes(), false)}; }, {0, 1})(in);
    for (size_t k = 0; k < 2; ++k) {
      const auto a = doubles(got[k]), b = doubles(want[k]);
      ASSERT_EQ(a.size(), b.size());
      for (size_t i = 0; i < a.size(); ++i) ASSERT_NEAR(a[i], b[i], 1e-10);
    }
  }
  EXPECT_EQ(f.trace_count(), 1);
}

}  // namespace
}  // namespace plait
