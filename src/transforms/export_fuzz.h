#pragma once

// What the test of hostile files and the fuzz target share: valid files to begin with, and what is done with a file.

#include <chrono>
#include <cstring>
#include <span>
#include <string>
#include <vector>

#include "base/interrupt.h"
#include "graph/registry.h"
#include "io/crc32.h"
#include "ops/index/scatter.h"
#include "ops/indexing.h"
#include "ops/view/slice.h"
#include "plait/control_flow.h"
#include "plait/export_function.h"
#include "plait/fast.h"
#include "plait/memory.h"
#include "plait/more_ops.h"
#include "plait/ops.h"
#include "plait/random.h"
#include "transforms/export_format.h"

namespace plait::fuzz {

/// Puts right check sums over what was changed, so that the change itself is looked at.
inline void repair_sums(std::string& file) {
  if (file.size() < export_format::kHeaderBytes) return;
  const auto put = [&](size_t at, uint64_t v, int bytes) {
    for (int i = 0; i < bytes; ++i) file[at + static_cast<size_t>(i)] = static_cast<char>(v >> (8 * i));
  };
  uint64_t tables = 0;
  for (int i = 7; i >= 0; --i) tables = tables << 8 | static_cast<uint8_t>(file[24 + static_cast<size_t>(i)]);
  put(16, file.size(), 8);
  if (tables <= file.size() - export_format::kHeaderBytes)
    put(32, io::crc32(file.data() + export_format::kHeaderBytes, tables), 4);
  put(60, io::crc32(file.data(), 60), 4);
}

/// Whether evaluating this would take long: a hostile file may ask for any amount of work, as any function may.
inline bool is_large(const Arrays& roots) {
  std::vector<const Node*> stack;
  size_t seen = 0;
  for (const Array& a : roots) stack.push_back(a.node());
  while (!stack.empty()) {
    const Node* node = stack.back();
    stack.pop_back();
    if (++seen > 10000) return true;
    for (const Aval& aval : node->avals)
      if (aval.shape.count_value() > 100000) return true;
    for (const Array& in : node->inputs) stack.push_back(in.node());
  }
  return false;
}

/// Ends loops that go on for ever, as Ctrl-C would.
class TimeLimit {
 public:
  TimeLimit() {
    end() = std::chrono::steady_clock::now() + std::chrono::seconds(1);
    set_interrupt_hook([] {
      if (std::chrono::steady_clock::now() > end()) throw Interrupted({.op = "fuzz", .got = "a second of work"});
    });
  }
  ~TimeLimit() { set_interrupt_hook(nullptr); }
  TimeLimit(const TimeLimit&) = delete;
  TimeLimit& operator=(const TimeLimit&) = delete;

 private:
  static std::chrono::steady_clock::time_point& end() {
    static std::chrono::steady_clock::time_point at;
    return at;
  }
};

/// Reads a file and runs what is in it; whatever plait raises is fine, anything else is not. True when it was read.
inline bool try_file(std::span<const char> bytes) {
  const TimeLimit limit;
  try {
    const ExportedFunction function = export_format::read(
        {"fuzz", bytes.size(), [&](uint64_t at, void* to, uint64_t n) { std::memcpy(to, bytes.data() + at, n); }});
    for (const ExportedTrace& trace : function.traces) {
      Arrays inputs;
      for (const Aval& in : trace.inputs) {
        if (in.shape.count_value() > 100000) return true;
        inputs.push_back(astype(full(in.shape, Array(1), std::nullopt), in.dtype));
      }
      try {
        const Arrays out = run(trace, function.constants, inputs);
        if (!is_large(out)) eval(out);
        for (Array& a : inputs)
          if (a.rank() > 0) a = concatenate({a, a}, 0);
        const Arrays other = run(trace, function.constants, inputs);
        if (!is_large(other)) eval(other);
      } catch (const Error&) {}
    }
    return true;
  } catch (const Error&) {
    return false;
  }
}

/// 0, 1, 2, ... of a shape.
inline Array counted(Shape shape) { return reshape(arange(0.0, static_cast<double>(shape.count_value())), shape); }

inline Arrays seed_views(const Arrays& in) {
  const Index picked[] = {Index::slice(2, std::nullopt, -1), Index::slice(1, 3)};
  return {get_index(in[0], picked),
          set_index(in[0], picked, Array(2.0F)),
          as_strided(in[0], Shape{2, 3}, IntList{2, 1}, 1),
          transpose(reshape(in[0], {2, 3, 2}), Axes{2, 0, 1}),
          squeeze(expand_dims(broadcast_to(in[0], {2, 3, 4}), Axes{0, 2}), Axes{0}),
          view(in[0], DType::uint16),
          concatenate({in[0], in[0]}, 1),
          contiguous(transpose(in[0]), false),
          pad(in[0], {{1, 2}}, "constant", Array(0.0F)),
          pad(in[0], {{1, 2}}, "edge", Array(0.0F))};
}

inline Arrays seed_reductions(const Arrays& in) {
  static const OpHandle addmm("addmm");  // made for GPUs only
  const Array product = matmul(in[0], in[1]);
  return {softmax(product + in[2], Axes{-1}, false),
          max(in[0], Axes{0}, false),
          min(in[0], Axes{0}, true),
          prod(in[0], Axes{1}, true),
          argmax(in[0], 1, true),
          argmin(in[0], 0, false),
          addmm({product, in[0], in[1]})};
}

inline Arrays seed_indexing(const Arrays& in) {
  const Array &a = in[0], &at = in[1];
  const Array flat = reshape(a, {3, 8});
  const Array along = broadcast_to(reshape(at, {3, 1}), {3, 8});
  return {take(a, at, 0),
          take_along_axis(flat, along, 0),
          put_along_axis(flat, along, flat, 0),
          scatter_rows(flat, at, flat, ScatterMode::add),
          slice(a, at, Axes{0, 1, 2}, {1, 2, 1}),
          slice_update(a, Array::from<float>(std::vector<float>{1}, {1, 1, 1}), at, Axes{0, 1, 2})};
}

inline Arrays seed_products(const Arrays& in) {
  CustomRules rules;
  rules.vjp = [](const Arrays&, const Arrays& cotangents, const Arrays&) { return cotangents; };
  const Function loss = [at = in[1]](const Arrays& x) {
    return Arrays{sum(scatter_rows(x[0], at, square(x[0]), ScatterMode::multiply), Axes(), false)};
  };
  const Function custom = custom_function([](const Arrays& x) { return Arrays{square(x[0])}; }, rules);
  return {grad(loss)({in[0]})[0], custom({in[0]})[0]};
}

inline Arrays seed_rows(const Arrays& in) {
  const Function scans = [](const Arrays& x) {
    return Arrays{sum(cumsum(x[0], 1, true, false, std::nullopt) * logcumsumexp(x[0], 0, false, true) +
                          cumprod(x[0], 1, false, true, std::nullopt) * cummax(x[0], 0, false, true) +
                          cummin(x[0], 1, true, true),
                      Axes(), false)};
  };
  const Array row = reshape(in[0], {12});
  return {scans(in)[0],      grad(scans)(in)[0], sort(in[0], -1),
          argsort(in[0], 0), topk(row, 2, -1),   searchsorted(row, in[0], "right")};
}

inline Arrays seed_convolutions(const Arrays& in) {
  const auto loss = [](const Arrays& x) {
    return Arrays{sum(conv1d(x[0], x[1], 2, 1, 2, 2), Axes(), false) +
                  sum(square(conv2d(x[2], x[3], {1, 2}, {1, 0}, {1, 1}, 1)), Axes(), false)};
  };
  Arrays results = loss(in);
  for (const Array& g : grad(loss, {0, 1, 2, 3})(in)) results.push_back(g);
  return results;
}

inline Arrays seed_spectra(const Arrays& in) {
  const Function power = [](const Arrays& x) {
    return Arrays{sum(square(abs(fft::rfftn(x[0], std::nullopt, Axes{0, 1}))), Axes(), false)};
  };
  return {fft::ifft(fft::fft(in[0]), 6, 0, "ortho"), fft::irfft(fft::rfft(in[0]), 4), grad(power)(in)[0],
          fft::istft(fft::stft(in[0], 2))};
}
inline Arrays seed_numbers(const Arrays& in) {
  const Function drawn = [key = in[1]](const Arrays& x) {
    const Array mean = reshape(slice_axis(x[0], 0, 0, 1, 1), {3});
    return Arrays{sum(random::multivariate_normal(mean, matmul(x[0], transpose(x[0])), Shape{}, std::nullopt, key),
                      Axes(), false)};
  };
  return {grad(drawn)({in[0]})[0],
          arange(1, 7, 2, DType::int64),
          where(in[0] > 1.0F, in[0], in[0]),
          random::uniform(Array(0.0F), Array(1.0F), Shape{2, 3}, DType::float32, in[1]),
          random::multivariate_normal(reshape(slice_axis(in[0], 0, 0, 1, 1), {3}), matmul(in[0], transpose(in[0])),
                                      Shape{}, std::nullopt, in[1]),
          astype(in[0], DType::complex64) * mean(in[0], Axes(), false),
          depends({in[0]}, {in[1]})[0]};
}

inline Arrays seed_loops(const Arrays& in) {
  const Function loop = [](const Arrays& x) {
    const auto [last, all] = scan(
        [&](const Arrays& carry, const Arrays& slice) {
          const Array next = carry[0] * x[1] + slice[0];
          return std::pair(Arrays{next}, cond(
                                             sum(next, Axes(), false) > 0.0F, [](const Arrays& y) { return y; },
                                             [](const Arrays& y) { return Arrays{-y[0]}; }, {next}));
        },
        {x[1]}, {x[0]});
    return Arrays{sum(last[0], Axes(), false) + sum(all[0], Axes(), false)};
  };
  return {loop(in)[0], grad(loop)(in)[0],
          while_loop([](const Arrays& c) { return Arrays{sum(c[0], Axes(), false) < 50.0F}; },
                     [](const Arrays& c) { return Arrays{c[0] * 2.0F + 1.0F}; }, {in[1]})[0]};
}

inline Arrays seed_matrices(const Arrays& in) {
  const Array& a = in[0];
  const Array square = matmul(transpose(a), a) + eye(3);
  Arrays results{linalg::cholesky(square), linalg::solve(square, sum(a, Axes{0}, false)), linalg::pinv(a)};
  for (const Arrays& all : {linalg::lu_factor(a), linalg::qr(a), linalg::eigh(square), linalg::svd(a),
                            linalg::svd(a, false), linalg::eig(square)})
    results.insert(results.end(), all.begin(), all.end());
  return results;
}

inline Arrays seed_packed(const Arrays& in) {
  const Array &w = in[0], &x = in[1];
  const Arrays affine = quantize(w, 32, 4), small = quantize(w, std::nullopt, std::nullopt, "mxfp4");
  const Array rows = reshape(x, {2, 1, 64}), picks = Array::from<int32_t>(std::vector<int32_t>{1, 0}, {2});
  const Array matrices = reshape(w, {2, 2, 64});
  const Arrays many = quantize(matrices, 32, 4), smalls = quantize(matrices, std::nullopt, std::nullopt, "mxfp4");
  return {gather_qmm(rows, many[0], many[1], many[2], std::nullopt, picks, true, 32, 4),
          gather_qmm(rows, smalls[0], smalls[1], std::nullopt, picks, picks, true, std::nullopt, std::nullopt, "mxfp4"),
          dequantize(affine[0], affine[1], affine[2], 32, 4),
          dequantize(small[0], small[1], std::nullopt, std::nullopt, std::nullopt, "mxfp4"),
          quantized_matmul(x, affine[0], affine[1], affine[2], true, 32, 4),
          quantized_matmul(x, small[0], small[1], std::nullopt, true, std::nullopt, std::nullopt, "mxfp4"),
          qqmm(x, w)};
}

inline Arrays seed_attention(const Arrays& in) {
  const Function attend = [&](const Arrays& x) {
    const Array y = fast::scaled_dot_product_attention(x[0], x[1], x[1], 0.5, fast::AttentionMask("causal"), in[2]);
    return Arrays{sum(y, Axes(), false)};
  };
  return {attend(in)[0], grad(attend)(in)[0]};
}

/// Functions that between them have every primitive with attributes or a shape rule of its own.
inline std::vector<std::pair<Function, Arrays>> seed_functions() {
  const Array ints = Array::from<int32_t>(std::vector<int32_t>{1, 0, 2}, {3});
  const Array m = counted({3, 4});
  return {{seed_views, {m}},
          {seed_reductions, {m, counted({4, 2}), counted({2})}},
          {seed_indexing, {counted({3, 4, 2}), ints}},
          {seed_products, {counted({3, 2}), ints}},
          {seed_rows, {m}},
          {seed_convolutions, {counted({2, 9, 4}), counted({6, 3, 2}), counted({1, 5, 6, 2}), counted({3, 2, 2, 2})}},
          {seed_spectra, {m}},
          {seed_numbers, {counted({3, 3}), random::key(3)}},
          {seed_loops, {counted({2, 3}), counted({3})}},
          {seed_matrices, {counted({4, 3})}},
          {seed_packed, {counted({4, 64}), counted({2, 64})}},
          {seed_attention, {counted({1, 2, 3, 4}), counted({1, 1, 5, 4}), counted({2})}}};
}

/// Files of these functions, written below `folder`; with and without shapeless.
inline std::vector<std::string> seed_files(const std::string& folder, std::string (*bytes_of)(const std::string&)) {
  std::vector<std::string> out;
  for (const auto& [f, args] : seed_functions())
    for (const bool shapeless : {false, true}) {
      export_function(folder + "/seed", f, args, {.shapeless = shapeless, .metadata = "seed"});
      out.push_back(bytes_of(folder + "/seed"));
    }
  return out;
}

}  // namespace plait::fuzz
