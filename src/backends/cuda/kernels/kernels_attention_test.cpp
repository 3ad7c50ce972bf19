// Attention of 16-bit floats, by cuDNN and by products, against the CPU's in float32 on the same numbers.
#include <chrono>
#include <cmath>
#include <cstdio>
#include <memory>
#include <numeric>
#include <thread>

#include "backends/cuda/kernels/attention_cudnn.h"
#include "backends/cuda/kernels/attention_few.h"
#include "backends/cuda/kernels/kernel_case.h"
#include "backends/cuda/libraries/cudnn_attention.h"
#include "backends/cuda/runtime/cuda_backend.h"

namespace plait::cuda_test {
namespace {

using cuda::CudnnAttention;

Tensor as(DType dtype, const Tensor& t) {
  Tensor out{dtype, t.shape, t.strides, t.offset, {}};
  out.bytes.resize(static_cast<size_t>(t.stored() * size_of(dtype)));
  dispatch(t.dtype, [&]<class From>() {
    dispatch(dtype, [&]<class To>() {
      for (int64_t i = 0; i < t.stored(); ++i) {
        const std::complex<double> x = number(reinterpret_cast<const From*>(t.bytes.data())[i]);
        reinterpret_cast<To*>(out.bytes.data())[i] = element<To>(x.real(), 0);
      }
    });
  });
  return out;
}

/// (N, heads, L, D) whose heads lie within rows: (N, L, heads, D) in memory, between `gap` other features.
Tensor within_rows(DType dtype, const Extents& e, int64_t gap) {
  Tensor t = any(dtype, {e[0], e[2], e[1], e[3] + gap});
  t.shape = e;
  t.strides = {t.strides[0], t.strides[2], t.strides[1], 1};
  return t;
}

struct Sizes {
  int64_t batch, heads, shared, queries, keys, features, values;
  Extents q() const { return {batch, heads, queries, features}; }
  Extents k() const { return {batch, shared, keys, features}; }
  Extents v() const { return {batch, shared, keys, values}; }
  Extents y() const { return {batch, heads, queries, values}; }
};

/// A call and the CPU's answer.
struct Case {
  Attrs forward, backward;
  std::vector<Tensor> inputs, of_vjp;
  Tensor y, sums;                // the result, and logarithms of sums of exponentials
  std::vector<Tensor> gradients;  // in float32

  static std::vector<Attr> attributes(bool causal, double scale) {
    return {{"scale", Scalar(scale)}, {"mask", std::string(causal ? "causal" : "none")}};
  }
  static double usual_scale(int64_t features) { return 1 / std::sqrt(static_cast<double>(features)); }
  static std::vector<Attr> with_result(std::vector<Attr> all) {
    all.push_back({"delta_of_result", true});
    return all;
  }
  Case(Tensor q, Tensor k, Tensor v, Tensor g, bool causal) : Case(q, k, v, g, causal, usual_scale(q.shape[3])) {}
  Case(Tensor q, Tensor k, Tensor v, Tensor g, bool causal, double scale)
      : forward("attention", attributes(causal, scale)),
        backward("attention_vjp", with_result(attributes(causal, scale))) {
    const DType d = q.dtype;
    const Tensor mask = any(DType::bool_, {1, 1, 1, 1}), sinks = any(DType::float32, {1, 1});
    inputs = {q, k, v, mask, sinks};
    std::vector<Tensor> wide{as(DType::float32, q), as(DType::float32, k), as(DType::float32, v), mask, sinks};
    const std::vector<Tensor> out = all_on_cpu("attention", forward, wide);
    y = out[0];
    sums = out[1];
    const Tensor rounded = as(d, y), same = as(DType::float32, rounded), wide_g = as(DType::float32, g);
    Tensor delta = out[1];
    const int64_t width = y.shape[3];
    const auto* result = reinterpret_cast<const float*>(same.bytes.data());
    const auto* of_g = reinterpret_cast<const float*>(wide_g.bytes.data());
    for (int64_t row = 0; row < delta.stored(); ++row) {
      const int64_t l = row % y.shape[2], h = row / y.shape[2] % y.shape[1], n = row / y.shape[2] / y.shape[1];
      const int64_t at = g.offset + n * g.strides[0] + h * g.strides[1] + l * g.strides[2];
      float sum = 0;
      for (int64_t i = 0; i < width; ++i) sum += result[row * width + i] * of_g[at + i * g.strides[3]];
      reinterpret_cast<float*>(delta.bytes.data())[row] = sum;
      auto* const log_sum = reinterpret_cast<float*>(sums.bytes.data()) + row;
      *log_sum += std::log(reinterpret_cast<const float*>(out[2].bytes.data())[row]);
    }
    of_vjp = {q, k, v, mask, out[1], out[2], delta, g, rounded};
    gradients =
        all_on_cpu("attention_vjp", backward, {wide[0], wide[1], wide[2], mask, out[1], out[2], delta, wide_g, same});
  }

  static std::vector<Tensor> outputs_of(const Attrs& attrs, const std::vector<Tensor>& in) {
    std::vector<Aval> avals;
    for (const Tensor& t : in) avals.push_back({Shape(std::span<const int64_t>(t.shape)), t.dtype});
    std::vector<Tensor> outs;
    for (const Aval& out : attrs.def().infer(attrs.base(), avals))
      outs.push_back(Tensor::empty(out.dtype, out.shape.values()));
    return outs;
  }
  static std::vector<Tensor> all_on_cpu(const std::string& op, const Attrs& attrs, std::vector<Tensor> in) {
    std::vector<Tensor> outs = outputs_of(attrs, in);
    std::vector<TensorView> views, out_views;
    for (Tensor& t : in) views.push_back(t.view(t.bytes.data()));
    for (Tensor& t : outs) out_views.push_back(t.view(t.bytes.data()));
    kernels().find(op)->run({.op = op, .inputs = views, .outputs = out_views, .attrs = attrs.view()});
    return outs;
  }
};

/// Inputs and outputs of one call on the device.
class OnDevice {
 public:
  OnDevice(const std::string& op, const Attrs& attrs, const std::vector<Tensor>& in)
      : op_(op), attrs_(attrs), outs_(Case::outputs_of(attrs, in)) {
    for (const Tensor& t : in) views_.push_back(t.view(device_.put(t)));
    for (Tensor& t : outs_) {
      std::memset(t.bytes.data(), 0x5A, t.bytes.size());
      out_views_.push_back(t.view(device_.put(t)));
    }
  }
  KernelArgs args() {
    return {.op = op_, .inputs = views_, .outputs = out_views_, .attrs = attrs_.view(), .queue = device_.queue()};
  }
  void run(CudnnAttention wanted) {
    cuda::set_cudnn_attention(wanted);
    cuda_kernel(op_)->run(args());
    cuda::set_cudnn_attention(CudnnAttention::when_ready);
  }
  /// Whether cuDNN took it.
  bool run_cudnn() {
    cuda::set_cudnn_attention(CudnnAttention::always);
    const KernelArgs given = args();
    const AttentionCall at(given);
    cuda::Work work(given);
    const bool taken =
        op_ == "attention" ? cuda::attend_by_cudnn(work, at, given) : cuda::attend_back_by_cudnn(work, at, given);
    cuda::set_cudnn_attention(CudnnAttention::when_ready);
    return taken;
  }
  const std::vector<Tensor>& results() {
    for (size_t i = 0; i < outs_.size(); ++i) device_.get(outs_[i], out_views_[i].data);
    return outs_;
  }
  memory::Queue queue() const { return device_.queue(); }
  void wait() const { cuda_memory().finish(cuda_memory().mark(device_.queue())); }

 private:
  const std::string op_;
  const Attrs& attrs_;
  Device device_;
  std::vector<Tensor> outs_;
  std::vector<TensorView> views_, out_views_;
};

double tolerance(DType d) { return d == DType::float16 ? 4e-3 : 3e-2; }

std::string text(const Case& c, const char* way) {
  std::string s = describe(way, {}, {c.inputs[0], c.inputs[1], c.inputs[2]});
  for (int i = 0; i < 3; ++i) s += " strides " + ::testing::PrintToString(c.inputs[static_cast<size_t>(i)].strides);
  return s + " " + to_string(c.forward.view().get<std::string>("mask"));
}

void expect_near_cpu(const Case& c, OnDevice& forward, OnDevice& backward, const char* way) {
  const DType d = c.inputs[0].dtype;
  const std::vector<Tensor>& out = forward.results();
  EXPECT_LE(difference(as(DType::float32, out[0]), c.y), tolerance(d)) << text(c, way);
  Tensor sums = out[1];
  for (int64_t i = 0; i < sums.stored(); ++i)
    reinterpret_cast<float*>(sums.bytes.data())[i] += std::log(reinterpret_cast<const float*>(out[2].bytes.data())[i]);
  EXPECT_LE(difference(sums, c.sums), tolerance(d)) << text(c, way) << ": sums";
  const std::vector<Tensor>& gradients = backward.results();
  for (size_t i = 0; i < 3; ++i)
    EXPECT_LE(difference(as(DType::float32, gradients[i]), c.gradients[i]), 4 * tolerance(d))
        << text(c, way) << ": gradient " << i;
}

void check(const Case& c) {
  for (const CudnnAttention wanted : {CudnnAttention::never, CudnnAttention::always}) {
    OnDevice forward("attention", c.forward, c.inputs), backward("attention_vjp", c.backward, c.of_vjp);
    forward.run(wanted);
    backward.run(wanted);
    expect_near_cpu(c, forward, backward, wanted == CudnnAttention::never ? "products" : "cudnn");
  }
}

const std::vector<DType> kHalves{DType::float16, DType::bfloat16};

std::vector<Sizes> sizes() {
  return {
      {2, 4, 4, 64, 64, 64, 64},     {1, 2, 2, 128, 256, 128, 128},
      {2, 8, 2, 100, 100, 64, 64},  // heads share keys
      {1, 6, 1, 33, 77, 80, 80},     {1, 2, 1, 40, 130, 256, 256},
      {2, 4, 2, 1, 200, 64, 64},    // one query
      {1, 2, 2, 1, 1, 64, 64},       {1, 3, 3, 7, 9, 8, 8},
      {1, 2, 2, 50, 60, 64, 128},   // other values than features
      {1, 4, 2, 257, 511, 128, 128}, {3, 2, 2, 5, 300, 96, 96},
      {1, 2, 2, 70, 30, 64, 64},    // more queries than keys
      {1, 2, 2, 20, 30, 40, 24},     {1, 1, 1, 2, 1, 64, 64},
  };
}

TEST(CudaAttention, ResultsAndGradients) {
  PLAIT_NEEDS_GPU();
  for (const Sizes& s : sizes())
    for (DType d : kHalves)
      for (bool causal : {false, true}) check(Case(any(d, s.q()), any(d, s.k()), any(d, s.v()), any(d, s.y()), causal));
}

TEST(CudaAttention, CudnnTakesWhatItIsFor) {
  PLAIT_NEEDS_GPU();
  if (!cuda::has_cudnn_attention()) GTEST_SKIP() << "NO CUDNN FOR ATTENTION: this test did not run";
  for (const Sizes& s : sizes())
    for (bool causal : {false, true}) {
      const DType d = DType::bfloat16;
      const Case c(any(d, s.q()), any(d, s.k()), any(d, s.v()), any(d, s.y()), causal);
      OnDevice forward("attention", c.forward, c.inputs), backward("attention_vjp", c.backward, c.of_vjp);
      const bool meant = !causal || s.queries <= s.keys;
      EXPECT_EQ(forward.run_cudnn(), meant) << text(c, "forward");
      EXPECT_EQ(backward.run_cudnn(), meant && s.queries > 1) << text(c, "backward");
    }
}

TEST(CudaAttention, OtherLayouts) {
  PLAIT_NEEDS_GPU();
  const Sizes s{2, 4, 2, 72, 136, 64, 64};
  for (DType d : kHalves)
    for (bool causal : {false, true}) {
      check(Case(within_rows(d, s.q(), 0), within_rows(d, s.k(), 0), within_rows(d, s.v(), 0), within_rows(d, s.y(), 0),
                 causal));
      check(Case(within_rows(d, s.q(), 8), within_rows(d, s.k(), 64), within_rows(d, s.v(), 3),
                 within_rows(d, s.y(), 1), causal));
      Tensor turned = any(d, {2, 4, 64, 72});  // features outside of queries
      turned.shape = s.q();
      std::swap(turned.strides[2], turned.strides[3]);
      Tensor odd = any(d, {1, 3, 136, 64});  // one batch for all, from an odd element on
      odd.shape = s.k();
      odd.strides[0] = 0;
      odd.offset = 1;
      Tensor one = any(d, {1, 1, 1, 1});  // a cotangent that is one number
      one.shape = s.y();
      one.strides = {0, 0, 0, 0};
      check(Case(turned, odd, any(d, s.v()), one, causal));
    }
}

TEST(CudaAttention, NothingToAttend) {
  PLAIT_NEEDS_GPU();
  for (const Sizes& s : {Sizes{0, 2, 2, 3, 4, 8, 8},
                         {1, 2, 2, 0, 4, 8, 8},
                         {1, 2, 2, 3, 0, 8, 8},
                         {1, 0, 2, 3, 4, 8, 8},
                         {1, 2, 2, 3, 4, 8, 0}})
    for (bool causal : {false, true}) {
      const DType d = DType::bfloat16;
      if (s.keys == 0) {  // zeros, as on the CPU; there are no sums
        const Case c(any(d, s.q()), any(d, s.k()), any(d, s.v()), any(d, s.y()), causal);
        OnDevice forward("attention", c.forward, c.inputs);
        forward.run(CudnnAttention::always);
        EXPECT_EQ(difference(as(DType::float32, forward.results()[0]), c.y), 0);
        continue;
      }
      check(Case(any(d, s.q()), any(d, s.k()), any(d, s.v()), any(d, s.y()), causal));
    }
}

// Only above 0 the largest score is the largest before scaling, too.
TEST(CudaAttention, AnyScale) {
  PLAIT_NEEDS_GPU();
  const Sizes s{1, 4, 2, 40, 72, 64, 64};
  const DType d = DType::bfloat16;
  for (double scale : {0.0, -0.25, 1e-46, 0.02})
    for (bool causal : {false, true}) {
      const Case c(any(d, s.q()), any(d, s.k()), any(d, s.v()), any(d, s.y()), causal, scale);
      check(c);
      if (!cuda::has_cudnn_attention()) continue;
      OnDevice forward("attention", c.forward, c.inputs), backward("attention_vjp", c.backward, c.of_vjp);
      EXPECT_EQ(forward.run_cudnn(), scale > 1e-9) << scale;
      EXPECT_EQ(backward.run_cudnn(), scale > 1e-9) << scale;
    }
}

TEST(CudaAttention, DeterministicByRequest) {
  PLAIT_NEEDS_GPU();
  const Sizes s{2, 8, 2, 512, 512, 64, 64};
  const DType d = DType::bfloat16;
  const Case c(any(d, s.q()), any(d, s.k()), any(d, s.v()), any(d, s.y()), true);
  OnDevice forward("attention", c.forward, c.inputs), backward("attention_vjp", c.backward, c.of_vjp);
  forward.run(CudnnAttention::deterministic);
  backward.run(CudnnAttention::deterministic);
  expect_near_cpu(c, forward, backward, "deterministic");
  const std::vector<Tensor> first = forward.results(), gradients = backward.results();
  for (int i = 0; i < 5; ++i) {
    forward.run(CudnnAttention::deterministic);
    backward.run(CudnnAttention::deterministic);
    for (size_t k = 0; k < 3; ++k) {
      EXPECT_EQ(forward.results()[k].bytes, first[k].bytes);
      EXPECT_EQ(backward.results()[k].bytes, gradients[k].bytes) << "gradient " << k;
    }
  }
}

TEST(CudaAttention, Recorded) {
  PLAIT_NEEDS_GPU();
  std::string why;
  CudaBackend* const backend = CudaBackend::instance(why);
  ASSERT_TRUE(backend) << why;
  const Sizes s{1,   4,  2, 48,
                176, 64, 64};  // of no other test: recordings ask for the plan, and cannot be had before it is made
  const DType d = DType::float16;
  const Case c(any(d, s.q()), any(d, s.k()), any(d, s.v()), any(d, s.y()), true);
  OnDevice forward("attention", c.forward, c.inputs), backward("attention_vjp", c.backward, c.of_vjp);
  std::unique_ptr<Recording> recording;
  for (int i = 0; i < 6000 && !recording; ++i) {
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
    if (!backend->begin_recording(forward.queue())) continue;
    bool ready = true;
    try {
      forward.run(CudnnAttention::when_ready);
      backward.run(CudnnAttention::when_ready);
    } catch (const DeviceError&) {
      ready = false;
    }
    recording = backend->end_recording(forward.queue(), why);
    if (!ready) recording = nullptr;
  }
  ASSERT_TRUE(recording);
  for (int i = 0; i < 2; ++i) {
    recording->replay();
    expect_near_cpu(c, forward, backward, "recorded");
  }
}

// No result waits for a plan.
TEST(CudaAttention, AtOnce) {
  PLAIT_NEEDS_GPU();
  const DType d = DType::bfloat16;
  for (int64_t keys : {1000, 1000, 1001, 1001, 1064}) {
    const Sizes s{1, 4, 4, 40, keys, 64, 64};
    const Case c(any(d, s.q()), any(d, s.k()), any(d, s.v()), any(d, s.y()), false);
    OnDevice forward("attention", c.forward, c.inputs), backward("attention_vjp", c.backward, c.of_vjp);
    forward.wait();
    const auto begin = std::chrono::steady_clock::now();
    forward.run(CudnnAttention::when_ready);
    backward.run(CudnnAttention::when_ready);
    forward.wait();
    const double ms = std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - begin).count();
    std::printf("first results with %d keys: %.2f ms\n", static_cast<int>(keys), ms);
    expect_near_cpu(c, forward, backward, "at once");
  }
}

// One query: a plan is made once the same has come often.
TEST(CudaAttention, Decoding) {
  PLAIT_NEEDS_GPU();
  const Sizes s{2, 8, 2, 1, 333, 64, 64};
  const DType d = DType::bfloat16;
  const Case c(any(d, s.q()), any(d, s.k()), any(d, s.v()), any(d, s.y()), false);
  OnDevice forward("attention", c.forward, c.inputs), backward("attention_vjp", c.backward, c.of_vjp);
  backward.run(CudnnAttention::when_ready);
  for (int i = 0; i < 100; ++i) forward.run(CudnnAttention::when_ready);
  expect_near_cpu(c, forward, backward, "decoding");
  forward.run(CudnnAttention::always);
  expect_near_cpu(c, forward, backward, "decoding by cuDNN");
}

// Few queries, whatever hides keys from them: results and what gradients take of them.
TEST(CudaAttention, FewQueries) {
  PLAIT_NEEDS_GPU();
  const DType bools = DType::bool_;
  for (const Sizes& s : {Sizes{2, 4, 2, 1, 300, 64, 64},
                         {1, 32, 8, 1, 1500, 128, 128},
                         {3, 3, 3, 1, 1, 8, 8},
                         {1, 16, 1, 1, 70, 128, 64},   // more rows than a block has
                         {2, 6, 2, 3, 257, 40, 256},
                         {1, 2, 2, 8, 33, 256, 24},
                         {2, 4, 2, 4, 3, 64, 64}})   // fewer keys than queries
    for (DType d : {DType::float16, DType::bfloat16, DType::float32})
      for (const bool sinks : {false, true}) {
        Tensor none = as(d, any(DType::float32, {1, 1, 1, 1})), hidden = any(bools, {1, 1, 1, s.keys});
        std::fill(hidden.bytes.begin(), hidden.bytes.end(), 0);
        const std::pair<const char*, Tensor> masks[] = {{"none", none},
                                                        {"causal", none},
                                                        {"array", any(bools, {s.batch, s.heads, s.queries, s.keys})},
                                                        {"array", any(bools, {1, 1, 1, s.keys})},
                                                        {"array", any(bools, {s.batch, 1, s.queries, 1})},
                                                        {"array", hidden},
                                                        {"array", any(d, {1, s.heads, s.queries, s.keys})},
                                                        {"array", any(d, {s.batch, 1, 1, s.keys})}};
        for (const auto& [name, mask] : masks) {
          const Attrs attrs("attention", {{"scale", Scalar(0.3)}, {"mask", std::string(name)}, {"sinks", sinks}});
          const Tensor q = any(d, s.q()), k = within_rows(d, s.k(), 8), v = any(d, s.v()),
                       sink = any(DType::float32, {1, s.heads});
          const std::vector<Tensor> want =
              Case::all_on_cpu("attention", attrs,
                               {as(DType::float32, q), as(DType::float32, k), as(DType::float32, v),
                                mask.dtype == bools ? mask : as(DType::float32, mask), sink});
          OnDevice call("attention", attrs, {q, k, v, mask, sink});
          const KernelArgs args = call.args();
          ASSERT_TRUE(cuda::is_for_few(AttentionCall(args)));
          call.run(CudnnAttention::never);
          const double most = d == DType::float32 ? 2e-5 : tolerance(d);
          for (size_t i = 0; i < 3; ++i)
            EXPECT_LE(difference(as(DType::float32, call.results()[i]), want[i]),
                      i == 2 ? most * static_cast<double>(s.keys) : most)
                << describe(name, {}, {q, k, v, mask}) << (sinks ? ", sinks" : "") << ": result " << i;
        }
      }
}

TEST(CudaAttention, FewQueriesThatLieOtherwise) {
  PLAIT_NEEDS_GPU();
  const DType d = DType::bfloat16;
  const Sizes s{2, 4, 2, 1, 90, 64, 64};
  Tensor odd = any(d, {2, 2, 91, 64});
  odd.shape = s.k();
  odd.offset = 1;
  Tensor turned = any(d, {2, 2, 64, 90});
  turned.shape = s.k();
  std::swap(turned.strides[2], turned.strides[3]);
  const Attrs attrs("attention", Case::attributes(false, 0.3));
  const Tensor mask = any(DType::bool_, {1, 1, 1, 1}), sinks = any(DType::float32, {1, 1}), q = any(d, s.q());
  for (const Tensor& k : {odd, turned}) {
    const std::vector<Tensor> want = Case::all_on_cpu(
        "attention", attrs, {as(DType::float32, q), as(DType::float32, k), as(DType::float32, k), mask, sinks});
    OnDevice call("attention", attrs, {q, k, k, mask, sinks});
    const KernelArgs args = call.args();
    EXPECT_FALSE(cuda::is_for_few(AttentionCall(args)));
    call.run(CudnnAttention::never);
    EXPECT_LE(difference(as(DType::float32, call.results()[0]), want[0]), tolerance(d));
  }
}

struct Timed {
  double first_ms = 0, ms = 0;
};
template <class Run>
Timed timed(OnDevice& call, const Run& run) {
  const auto now = [] { return std::chrono::steady_clock::now(); };
  const auto ms_since = [&](auto begin) { return std::chrono::duration<double, std::milli>(now() - begin).count(); };
  Timed t;
  auto begin = now();
  run();
  call.wait();
  t.first_ms = ms_since(begin);
  for (int i = 0; i < 3; ++i) run();
  call.wait();
  constexpr int kRuns = 20;
  begin = now();
  for (int i = 0; i < kRuns; ++i) run();
  call.wait();
  t.ms = ms_since(begin) / kRuns;
  return t;
}

// Prints what each way takes; `first` has the making of cuDNN's plan in it.
TEST(CudaAttention, TimesOfBothWays) {
  PLAIT_NEEDS_GPU();
  if (small()) GTEST_SKIP() << "it measures";
  const DType d = DType::bfloat16;
  for (const Sizes& s : {Sizes{4, 16, 16, 2048, 2048, 64, 64},
                         {2, 32, 8, 4096, 4096, 128, 128},
                         {2, 32, 8, 4095, 4095, 128, 128},
                         {32, 32, 8, 1, 4096, 128, 128},
                         {1, 32, 8, 1, 4096, 128, 128},
                         {1, 8, 8, 2048, 2048, 256, 256},
                         {1, 8, 8, 256, 256, 64, 64}})
    for (bool causal : {false, true}) {
      if (causal && s.queries == 1) continue;
      const double scale = Case::usual_scale(s.features);
      const Attrs of_forward("attention", Case::attributes(causal, scale)),
          of_backward("attention_vjp", Case::with_result(Case::attributes(causal, scale)));
      const auto noise = [](DType dtype, const Extents& e) {  // quickly
        Tensor t = Tensor::empty(dtype, e);
        uint32_t state = 7;
        for (int64_t i = 0; i < t.stored(); ++i) {
          state = state * 1664525 + 1013904223;
          reinterpret_cast<uint16_t*>(t.bytes.data())[i] =
              static_cast<uint16_t>(0x3F00 | (state >> 31 << 15) | (state >> 20 & 0x7F));
        }
        return t;
      };
      const Tensor mask = any(DType::bool_, {1, 1, 1, 1}), sinks = any(DType::float32, {1, 1});
      Tensor rows = Tensor::empty(DType::float32, {s.batch, s.heads, s.queries});
      for (int64_t i = 0; i < rows.stored(); ++i) reinterpret_cast<float*>(rows.bytes.data())[i] = 10;
      OnDevice forward("attention", of_forward, {noise(d, s.q()), noise(d, s.k()), noise(d, s.v()), mask, sinks});
      OnDevice backward("attention_vjp", of_backward,
                        {noise(d, s.q()), noise(d, s.k()), noise(d, s.v()), mask, rows, rows, rows, noise(d, s.y()),
                         noise(d, s.y())});
      const auto by = [](OnDevice& call, CudnnAttention wanted) { return timed(call, [&] { call.run(wanted); }); };
      const Timed plain = by(forward, CudnnAttention::never), fast = timed(forward, [&] { forward.run_cudnn(); });
      const Timed plain_back = by(backward, CudnnAttention::never), fast_back = by(backward, CudnnAttention::always);
      std::printf(
          "%d x %d/%d heads, %d x %d, %d%s: forward %.3f ms without cuDNN, %.3f by it (first %.1f); backward %.3f, %.3f (first %.1f)\n",
          static_cast<int>(s.batch), static_cast<int>(s.heads), static_cast<int>(s.shared), static_cast<int>(s.queries),
          static_cast<int>(s.keys), static_cast<int>(s.features), causal ? ", causal" : "", plain.ms, fast.ms,
          fast.first_ms, plain_back.ms, fast_back.ms, fast_back.first_ms);
      std::fflush(stdout);
    }
}

}  // namespace
}  // namespace plait::cuda_test
