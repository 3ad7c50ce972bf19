#include "backends/cuda/kernels/element.cuh"
#include "backends/cuda/kernels/launch.h"
#include "backends/cuda/kernels/positions.cuh"
#include "backends/cuda/kernels/tables.h"

namespace plait::cuda {
namespace {

struct Taken {
  int64_t groups, before, n, m, words;  // groups: batches times before; words: of a row
};

// Rows that lie outside are noted and become zeros.
template <class Word, class Index>
__global__ void __launch_bounds__(kThreads) take(Word* to, const Word* from, Positions at, Taken d) {
  const auto words = static_cast<Index>(d.words), m = static_cast<Index>(d.m), before = static_cast<Index>(d.before);
  const auto count = static_cast<Index>(d.groups) * m * words;
  for (Index i = blockIdx.x * Index{kThreads} + threadIdx.x; i < count; i += gridDim.x * Index{kThreads}) {
    const Index row = i / words, word = i - row * words, group = row / m, k = row - group * m;
    const int64_t position = at(static_cast<int64_t>(group / before) * d.m + k);
    to[i] = position < 0 ? Word{} : from[(static_cast<int64_t>(group) * d.n + position) * d.words + word];
  }
}

__global__ void __launch_bounds__(kThreads) check(Positions at, int64_t count) {
  for (int64_t i = blockIdx.x * int64_t{kThreads} + threadIdx.x; i < count; i += gridDim.x * int64_t{kThreads}) at(i);
}

template <class Word>
void launch_take(const Work& work, void* to, const void* from, const Positions& at, const Taken& d) {
  const int64_t count = d.groups * d.m * d.words;
  dispatch_index(count + int64_t{kThreads} * blocks_for(count), [&]<class Index>() {
    take<Word, Index><<<blocks_for(count), kThreads, 0, work.stream()>>>(static_cast<Word*>(to),
                                                                         static_cast<const Word*>(from), at, d);
  });
  work.launched("take");
}

// a is (batch, before, n, after), at (batch, m), the result (batch, before, m, after).
void run_take(const KernelArgs& args) {
  const Work work(args);
  const TensorView &a = args.inputs[0], &at = args.inputs[1], &out = args.outputs[0];
  const Along e(a, static_cast<size_t>(args.attrs.get<int64_t>("axis")));
  int64_t batch = 1;
  for (size_t i = 0; i < static_cast<size_t>(args.attrs.get<int64_t>("batch")); ++i) batch *= a.shape[i];
  const Positions positions(args, at, e.n);
  if (out.count() == 0) {
    if (at.count() == 0) return;
    check<<<blocks_for(at.count()), kThreads, 0, work.stream()>>>(positions, at.count());
    return work.launched("check of positions");
  }
  const int64_t bytes = e.inner * size_of(a.dtype);
  const auto addresses = reinterpret_cast<uintptr_t>(a.data) | reinterpret_cast<uintptr_t>(out.data);
  int word = 16;
  while (bytes % word != 0 || addresses % static_cast<uintptr_t>(word) != 0) word /= 2;
  const Taken d{e.outer, e.outer / batch, e.n, at.count() / batch, bytes / word};
  if (word == 16) return launch_take<uint4>(work, out.data, a.data, positions, d);
  dispatch_width(word, [&]<class Word>() { launch_take<Word>(work, out.data, a.data, positions, d); });
}

template <class T, class Index>
__global__ void __launch_bounds__(kThreads)
    take_along(T* to, const T* from, Positions at, int64_t outer, int64_t m_extent, int64_t inner_extent) {
  const auto m = static_cast<Index>(m_extent), inner = static_cast<Index>(inner_extent);
  const auto count = static_cast<Index>(outer) * m * inner;
  for (Index i = blockIdx.x * Index{kThreads} + threadIdx.x; i < count; i += gridDim.x * Index{kThreads}) {
    const Index row = i / inner, k = i - row * inner;
    const int64_t position = at(static_cast<int64_t>(i));
    to[i] = position < 0 ? T{} : from[(static_cast<int64_t>(row / m) * at.n + position) * inner_extent + k];
  }
}

void run_take_along(const KernelArgs& args) {
  const Work work(args);
  const TensorView &a = args.inputs[0], &at = args.inputs[1], &out = args.outputs[0];
  const auto axis = static_cast<size_t>(args.attrs.get<int64_t>("axis"));
  const Along e(a, axis);
  const int64_t m = at.shape[axis], count = out.count();
  if (count == 0) return;
  dispatch_width(size_of(a.dtype), [&]<class T>() {
    dispatch_index(count + int64_t{kThreads} * blocks_for(count), [&]<class Index>() {
      take_along<T, Index><<<blocks_for(count), kThreads, 0, work.stream()>>>(
          out.as<T>(), a.as<const T>(), Positions(args, at, e.n), e.outer, m, e.inner);
    });
  });
  work.launched("take_along_axis");
}

}  // namespace

void add_take_kernels(Table& table) {
  table.push_back({"take", {.run = run_take, .checks_positions = true}});
  table.push_back({"take_along_axis", {.run = run_take_along, .checks_positions = true}});
}

}  // namespace plait::cuda
