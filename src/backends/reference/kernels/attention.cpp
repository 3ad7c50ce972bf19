// Attention as its definition says, a row of scores at a time: for float64, and what other kernels are compared with.
#include "backends/attention.h"

#include <cmath>
#include <type_traits>
#include <vector>

#include "backends/order.h"
#include "base/dispatch.h"
#include "base/parallel.h"

namespace plait {
namespace {

template <class W>
constexpr W kLowest = -std::numeric_limits<W>::max();

template <class T>
Wide<T> dot(const T* a, int64_t a_stride, const T* b, int64_t b_stride, int64_t n) {
  Wide<T> sum = 0;
  for (int64_t i = 0; i < n; ++i) sum += widened(a[i * a_stride]) * widened(b[i * b_stride]);
  return sum;
}

/// Scores of one query, and which of them depend on it.
template <class T>
void scores_of(const AttentionCall& at, int64_t n, int64_t head, int64_t query, std::vector<Wide<T>>& x,
               std::vector<char>& sees) {
  using W = Wide<T>;
  const auto* q = reinterpret_cast<const T*>(line_of(at.q, n, head, query));
  const char* mask = at.mask_row(n, head, query);
  const int64_t seen = at.seen(query), stride = at.mask_stride();
  for (int64_t j = 0; j < at.keys; ++j) {
    const auto* k = reinterpret_cast<const T*>(line_of(at.k, n, head / at.group(), j));
    W score = static_cast<W>(at.scale) * dot(q, at.q.strides[3], k, at.k.strides[3], at.features);
    bool counts = j < seen;
    if (at.kind == AttentionCall::Mask::boolean) counts = reinterpret_cast<const bool*>(mask)[j * stride];
    if (at.kind == AttentionCall::Mask::added) score += widened(reinterpret_cast<const T*>(mask)[j * stride]);
    x[static_cast<size_t>(j)] = counts ? score : kLowest<W>;
    sees[static_cast<size_t>(j)] = counts;
  }
}

template <class T>
void attend(const AttentionCall& at, const KernelArgs& args) {
  using W = Wide<T>;
  const TensorView &sinks = args.inputs[4], &y = args.outputs[0];
  const bool has_sinks = args.attrs.get<bool>("sinks");
  const int64_t rows = at.batch * at.heads * at.queries;
  parallel_for(rows, 1, [&](int64_t begin, int64_t end) {
    std::vector<W> x(static_cast<size_t>(at.keys)), sum(static_cast<size_t>(at.values));
    std::vector<char> sees(x.size());
    for (int64_t row = begin; row < end; ++row) {
      const int64_t query = row % at.queries, head = row / at.queries % at.heads, n = row / at.queries / at.heads;
      scores_of<T>(at, n, head, query, x, sees);
      W most = has_sinks ? *reinterpret_cast<const W*>(sink_of(sinks, n, head)) : kLowest<W>;
      W total = has_sinks ? 1 : 0;
      const W first = most;
      for (const W score : x) most = std::max(most, score);
      total *= std::exp(first - most);
      std::fill(sum.begin(), sum.end(), W{0});
      for (int64_t j = 0; j < at.keys; ++j) {
        const W weight = std::exp(x[static_cast<size_t>(j)] - most);
        total += weight;
        const auto* v = reinterpret_cast<const T*>(line_of(at.v, n, head / at.group(), j));
        for (int64_t c = 0; c < at.values; ++c) sum[static_cast<size_t>(c)] += weight * widened(v[c * at.v.strides[3]]);
      }
      for (int64_t c = 0; c < at.values; ++c)
        y.as<T>()[row * at.values + c] = at.keys == 0 ? T{} : narrowed<T>(sum[static_cast<size_t>(c)] / total);
      args.outputs[1].as<W>()[row] = most;
      args.outputs[2].as<W>()[row] = total;
    }
  });
}

/// One head of k and v, with all heads of q that share it.
template <class T>
void back(const AttentionCall& at, const KernelArgs& args, int64_t n, int64_t shared) {
  using W = Wide<T>;
  const TensorView& g = args.inputs[7];
  std::vector<W> x(static_cast<size_t>(at.keys)), of_q(static_cast<size_t>(at.features)),
      of_k(static_cast<size_t>(at.keys * at.features)), of_v(static_cast<size_t>(at.keys * at.values));
  std::vector<char> sees(x.size());
  const auto scale = static_cast<W>(at.scale);
  for (int64_t head = shared * at.group(); head < (shared + 1) * at.group(); ++head)
    for (int64_t query = 0; query < at.queries; ++query) {
      const auto number = [&](int input) {
        return *reinterpret_cast<const W*>(line_of(args.inputs[static_cast<size_t>(input)], n, head, query));
      };
      const W most = number(4), total = number(5), delta = number(6);
      const auto* dy = reinterpret_cast<const T*>(line_of(g, n, head, query));
      const auto* q = reinterpret_cast<const T*>(line_of(at.q, n, head, query));
      scores_of<T>(at, n, head, query, x, sees);
      std::fill(of_q.begin(), of_q.end(), W{0});
      for (int64_t j = 0; j < at.keys; ++j) {
        const auto* v = reinterpret_cast<const T*>(line_of(at.v, n, shared, j));
        const auto* k = reinterpret_cast<const T*>(line_of(at.k, n, shared, j));
        const W p = std::exp(x[static_cast<size_t>(j)] - most) / total;
        const W t = dot(dy, g.strides[3], v, at.v.strides[3], at.values) - delta;
        const W dx = sees[static_cast<size_t>(j)] ? p * t * scale : W{0};
        for (int64_t c = 0; c < at.values; ++c)
          of_v[static_cast<size_t>(j * at.values + c)] += p * widened(dy[c * g.strides[3]]);
        for (int64_t c = 0; c < at.features; ++c) {
          of_k[static_cast<size_t>(j * at.features + c)] += dx * widened(q[c * at.q.strides[3]]);
          of_q[static_cast<size_t>(c)] += dx * widened(k[c * at.k.strides[3]]);
        }
      }
      T* to = args.outputs[0].as<T>() + ((n * at.heads + head) * at.queries + query) * at.features;
      for (const W value : of_q) *to++ = narrowed<T>(value);
    }
  const auto store = [&](const std::vector<W>& from, const TensorView& out) {
    T* to = out.as<T>() + (n * at.shared + shared) * static_cast<int64_t>(from.size());
    for (const W value : from) *to++ = narrowed<T>(value);
  };
  store(of_k, args.outputs[1]);
  store(of_v, args.outputs[2]);
}

template <class F>
void for_floats(DType dtype, const F& f) {
  dispatch(dtype, [&]<class T>() {
    if constexpr (std::is_floating_point_v<Wide<T>>) f.template operator()<T>();
  });
}

void run(const KernelArgs& args) {
  for_floats(args.inputs[0].dtype, [&]<class T>() { attend<T>(AttentionCall(args), args); });
}

void run_back(const KernelArgs& args) {
  const AttentionCall at(args);
  for_floats(at.q.dtype, [&]<class T>() {
    parallel_for(at.batch * at.shared, 1, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) back<T>(at, args, i / at.shared, i % at.shared);
    });
  });
}

}  // namespace

void register_reference_kernels_attention(KernelTable& table) {
  table.add("attention", Backend::reference, {.run = run, .contiguous_inputs = false});
  table.add("attention_vjp", Backend::reference, {.run = run_back, .contiguous_inputs = false});
}

}  // namespace plait
