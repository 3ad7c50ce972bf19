// Attention by cuDNN where it takes it (attention_cudnn.h), of few queries by kernels of our own (attention_few.h), else by products of
// cuBLASLt and one pass over scores between them, for as many queries at a time as a fixed amount of memory takes.
#include <algorithm>

#include "backends/cuda/kernels/attention_cudnn.h"
#include "backends/cuda/kernels/attention_few.h"
#include "backends/cuda/kernels/attention_rows.h"
#include "backends/cuda/kernels/copy.h"
#include "backends/cuda/kernels/matmul_plain.h"
#include "backends/cuda/kernels/tables.h"

namespace plait::cuda {
namespace {

constexpr int64_t kMostBytes = int64_t{256} << 20;  // of scores

int64_t queries_at_once(const AttentionCall& at) {
  const int64_t bytes = std::max<int64_t>(1, at.batch * at.heads * at.keys * size_of(at.q.dtype));
  return std::clamp<int64_t>(kMostBytes / bytes, 1, std::max<int64_t>(at.queries, 1));
}

DType wide(DType d) { return is_half(d) ? DType::float32 : d; }

TensorView view(void* data, DType dtype, std::initializer_list<int64_t> shape, std::initializer_list<int64_t> strides) {
  TensorView v;
  v.data = data;
  v.dtype = dtype;
  for (const int64_t extent : shape) v.shape.push_back(extent);
  for (const int64_t stride : strides) v.strides.push_back(stride);
  return v;
}

char* at_row(const TensorView& t, int64_t row) { return t.as<char>() + row * t.strides[2] * size_of(t.dtype); }

/// Queries `first` to `first + count`: (N, heads, L, X) as (N, shared, group, count, X).
TensorView part_of(const AttentionCall& at, const TensorView& t, int64_t first, int64_t count) {
  return view(at_row(t, first), t.dtype, {at.batch, at.shared, at.group(), count, t.shape[3]},
              {t.strides[0], at.group() * t.strides[1], t.strides[1], t.strides[2], t.strides[3]});
}
/// k or v, (N, shared, 1, S, X) for each head of a group, and transposed.
TensorView keys_of(const AttentionCall& at, const TensorView& t) {
  return view(t.data, t.dtype, {at.batch, at.shared, at.group(), at.keys, t.shape[3]},
              {t.strides[0], t.strides[1], 0, t.strides[2], t.strides[3]});
}
TensorView turned(TensorView t) {
  const size_t last = t.shape.size() - 1;
  std::swap(t.shape[last], t.shape[last - 1]);
  std::swap(t.strides[last], t.strides[last - 1]);
  return t;
}
/// A matrix for each head, one row-major behind the other.
TensorView packed(const AttentionCall& at, void* data, int64_t rows, int64_t columns) {
  const int64_t one = rows * columns;
  return view(data, at.q.dtype, {at.batch, at.shared, at.group(), rows, columns},
              {at.heads * one, at.group() * one, one, columns, 1});
}
/// The same with the rows of a group as rows of one matrix: (N, shared, group * rows, columns).
TensorView of_group(const AttentionCall& at, void* data, int64_t rows, int64_t columns) {
  const int64_t one = at.group() * rows * columns;
  return view(data, at.q.dtype, {at.batch, at.shared, at.group() * rows, columns}, {at.shared * one, one, columns, 1});
}

void* scratch_for(Work& work, const AttentionCall& at, int64_t rows, int64_t columns) {
  return work.scratch<char>(at.batch * at.heads * rows * columns * size_of(at.q.dtype));
}

void fill_zero(const Work& work, const TensorView& t) {
  check_cuda(cudaMemsetAsync(t.data, 0, static_cast<size_t>(t.count() * size_of(t.dtype)), work.stream()), "attention");
}

void run(const KernelArgs& args) {
  const AttentionCall at(args);
  const TensorView& y = args.outputs[0];
  if (args.outputs[1].count() == 0) return;
  Work work(args);
  if (at.keys == 0) {
    for (const TensorView& out : args.outputs) fill_zero(work, out);
    return;
  }
  const TensorView* const sinks = args.attrs.get<bool>("sinks") ? &args.inputs[4] : nullptr;
  if (attend_by_cudnn(work, at, args)) return;
  if (is_for_few(at)) return attend_few(work, at, sinks, y, args.outputs[1].as<float>(), args.outputs[2].as<float>());
  const int64_t most_rows = queries_at_once(at);
  void* const scores = scratch_for(work, at, most_rows, at.keys);
  const TensorView k = turned(keys_of(at, at.k)), v = keys_of(at, at.v);
  for (int64_t first = 0; first < at.queries; first += most_rows) {
    const int64_t count = std::min(most_rows, at.queries - first);
    const TensorView x = packed(at, scores, count, at.keys);
    multiply_batches(work, part_of(at, at.q, first, count), k, x);
    weigh_rows(work, at, sinks, {first, count, scores}, args.outputs[1].data, args.outputs[2].data);
    multiply_batches(work, x, v, part_of(at, y, first, count));
  }
}

/// Sums over parts of the queries: straight into the result where there is one part, else in what sums have.
class Sum {
 public:
  Sum(Work& work, const TensorView& out, bool one) : work_(work), out_(out), one_(one) {
    if (one_) return;
    part_ = work.scratch<char>(out.count() * size_of(out.dtype));
    sum_ = work.scratch<char>(out.count() * size_of(wide(out.dtype)));
    check_cuda(cudaMemsetAsync(sum_, 0, static_cast<size_t>(out.count() * size_of(wide(out.dtype))), work.stream()),
               "attention_vjp");
  }
  void add(const TensorView& a, const TensorView& b) {
    TensorView to = out_;
    if (!one_) to.data = part_;
    multiply_batches(work_, a, b, to);
    if (!one_) add_widened(work_, out_.dtype, sum_, part_, out_.count());
  }
  void finish() {
    if (!one_) store_narrowed(work_, out_.dtype, out_.data, sum_, out_.count());
  }

 private:
  Work& work_;
  const TensorView& out_;
  const bool one_;
  void *part_ = nullptr, *sum_ = nullptr;
};

void run_back(const KernelArgs& args) {
  const AttentionCall at(args);
  if (at.batch * at.shared == 0) return;
  Work work(args);
  if (at.heads == 0 || at.queries == 0 || at.keys == 0) {
    for (const TensorView& out : args.outputs) fill_zero(work, out);
    return;
  }
  if (attend_back_by_cudnn(work, at, args)) return;
  const TensorView& g = args.inputs[7];
  const int64_t most_rows = queries_at_once(at), width = size_of(at.q.dtype);
  void* const scores = scratch_for(work, at, most_rows, at.keys);
  void* const changes = scratch_for(work, at, most_rows, at.keys);
  void* const some_q = scratch_for(work, at, most_rows, at.features);
  void* const some_g = scratch_for(work, at, most_rows, at.values);
  const bool one = most_rows >= at.queries;
  Sum of_k(work, args.outputs[1], one), of_v(work, args.outputs[2], one);
  const TensorView k = keys_of(at, at.k), v = keys_of(at, at.v);
  const auto gather = [&](void* to, const TensorView& from) {
    const TensorView rows = packed(at, to, from.shape[3], from.shape[4]);
    copy_strided(work, to, rows.strides, from.data, from.strides, from.shape, static_cast<int>(width));
  };
  for (int64_t first = 0; first < at.queries; first += most_rows) {
    const int64_t count = std::min(most_rows, at.queries - first);
    const TensorView q = part_of(at, at.q, first, count), dy = part_of(at, g, first, count);
    multiply_batches(work, q, turned(k), packed(at, scores, count, at.keys));
    multiply_batches(work, dy, turned(v), packed(at, changes, count, at.keys));
    weigh_rows_back(work, at, {first, count, scores}, changes, args.inputs[4], args.inputs[5], args.inputs[6]);
    multiply_batches(work, packed(at, changes, count, at.keys), k, part_of(at, args.outputs[0], first, count));
    gather(some_q, q);
    gather(some_g, dy);
    of_k.add(turned(of_group(at, changes, count, at.keys)), of_group(at, some_q, count, at.features));
    of_v.add(turned(of_group(at, scores, count, at.keys)), of_group(at, some_g, count, at.values));
  }
  of_k.finish();
  of_v.finish();
}

}  // namespace

void add_attention_kernels(Table& table) {
  table.push_back({"attention", {.run = run, .contiguous_inputs = false}});
  table.push_back({"attention_vjp", {.run = run_back, .contiguous_inputs = false}});
}

}  // namespace plait::cuda
