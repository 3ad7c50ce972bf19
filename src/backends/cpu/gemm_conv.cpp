#include "backends/cpu/gemm_conv.h"

#include <algorithm>
#include <cstring>
#include <type_traits>

#include "backends/cpu/gemm.h"
#include "backends/cpu/scratch.h"
#include "base/parallel.h"

namespace plait::cpu {
namespace {

constexpr int64_t kWorkGrain = 1 << 17;  // multiplications worth handing to another thread

/// The channels that one position of the result sees through element k of the kernel, or null for zeros.
template <class T>
struct Seen {
  const ConvGeometry& g;
  const T* base;  // first channel of the group in x, or in y for the gradient by x
  bool outputs;   // positions are those of x, and see y

  const T* operator()(int64_t position, int64_t k) const {
    const int64_t images = outputs ? g.in_count() : g.out_count(), n = position / images;
    const int64_t at = outputs ? g.output_at(position % images, k) : g.input_at(position % images, k);
    if (at < 0) return nullptr;
    return base + (outputs ? (n * g.out_count() + at) * g.y_channels() : (n * g.in_count() + at) * g.x_channels());
  }
};

/// Panels whose rows are positions and whose steps are (k, channel).
template <class T>
void pack_positions(const Seen<T>& seen, int64_t channels, int width, T* to, int64_t first, int64_t count, int64_t from,
                    int64_t depth) {
  for (int64_t i = 0; i < count; i += width, to += width * depth) {
    const int64_t rows = std::min<int64_t>(width, count - i);
    if (rows < width) std::memset(to, 0, static_cast<size_t>(width * depth) * sizeof(T));
    for (int64_t step = from; step < from + depth;) {
      const int64_t k = step / channels, c = step % channels, run = std::min(channels - c, from + depth - step);
      T* at = to + (step - from) * width;
      for (int64_t r = 0; r < rows; ++r) {
        const T* source = seen(first + i + r, k);
        for (int64_t j = 0; j < run; ++j) at[j * width + r] = source ? source[c + j] : T(0);
      }
      step += run;
    }
  }
}

/// Panels whose rows are (k, channel) and whose steps are positions.
template <class T>
void pack_kernel(const Seen<T>& seen, int64_t channels, int width, T* to, int64_t first, int64_t count, int64_t from,
                 int64_t depth) {
  for (int64_t i = 0; i < count; i += width, to += width * depth) {
    const int64_t end = std::min(first + count, first + i + width);
    if (end - first - i < width) std::memset(to, 0, static_cast<size_t>(width * depth) * sizeof(T));
    for (int64_t step = 0; step < depth; ++step) {
      T* at = to + step * width;
      for (int64_t row = first + i; row < end;) {
        const int64_t c = row % channels, run = std::min(channels - c, end - row);
        const T* source = seen(from + step, row / channels);
        if (source)
          std::copy(source + c, source + c + run, at);
        else
          std::fill(at, at + run, T(0));
        at += run;
        row += run;
      }
    }
  }
}

template <class T>
void run(ConvKind kind, const ConvGeometry& g, const T* a, const T* b, T* to) {
  constexpr bool kWide = std::is_same_v<T, double>;
  constexpr auto kType = kWide ? GemmOperand::Type::f64 : GemmOperand::Type::f32;
  const GemmTile& tile = kWide ? gemm_kernels().f64 : gemm_kernels().f32;
  const int64_t elements = g.kernel_count(), per_group = g.o * elements * g.c;
  GemmShape shape;
  switch (kind) {
    case ConvKind::forward: shape = {g.n * g.out_count(), g.o, elements * g.c}; break;
    case ConvKind::input: shape = {g.n * g.in_count(), g.c, elements * g.o}; break;
    case ConvKind::weight: shape = {g.o, elements * g.c, g.n * g.out_count()}; break;
  }
  Scratch scratch;
  const T* weight = b;
  if (kind == ConvKind::input) {  // (o, k, c) to (k, o, c), so that (k, o) are steps
    T* turned = scratch.take<T>(g.groups * per_group);
    for (int64_t i = 0; i < g.groups * g.o * elements; ++i) {
      const int64_t group = i / (g.o * elements), o = i / elements % g.o, k = i % elements;
      std::copy(b + i * g.c, b + (i + 1) * g.c, turned + group * per_group + (k * g.o + o) * g.c);
    }
    weight = turned;
  }
  const GemmCut cut = gemm_cut(tile, shape, g.groups);
  const int64_t work =
      std::max<int64_t>(1, std::min(cut.rows, shape.rows) * std::min(cut.columns, shape.columns) * shape.depth);
  parallel_for(g.groups * cut.count(), std::max<int64_t>(1, kWorkGrain / work), [&](int64_t begin, int64_t end) {
    for (int64_t task = begin; task < end; ++task) {
      const int64_t group = task / cut.count();
      const auto multiply = [&](Pack pack_a, Pack pack_b, T* into, int64_t stride) {
        const auto none = [](const void*, int64_t, int64_t, int64_t, int64_t, int64_t) {};
        gemm_block(tile, sizeof(T), shape, cut, task % cut.count(), pack_a, pack_b, {into, stride, none});
      };
      const auto operand = [&](const GemmOperand& from, const GemmPanels& panels) {
        return [from, &panels](char* into, int64_t first, int64_t count, int64_t step, int64_t depth) {
          pack_operand(from, panels, 1, into, first, count, step, depth);
        };
      };
      if (kind == ConvKind::weight) {
        const Seen<T> seen{g, a + group * g.c, false};
        const auto outputs = operand({kType, b + group * g.o, 1, g.y_channels()}, tile.a);
        const auto inputs = [&](char* into, int64_t first, int64_t count, int64_t from, int64_t depth) {
          pack_kernel(seen, g.c, tile.b.width, reinterpret_cast<T*>(into), first, count, from, depth);
        };
        multiply(outputs, inputs, to + group * per_group, elements * g.c);
        continue;
      }
      const bool backward = kind == ConvKind::input;
      const int64_t channels = backward ? g.o : g.c;
      const Seen<T> seen{g, a + group * channels, backward};
      const auto positions = [&](char* into, int64_t first, int64_t count, int64_t from, int64_t depth) {
        pack_positions(seen, channels, tile.a.width, reinterpret_cast<T*>(into), first, count, from, depth);
      };
      const T* own = weight + group * per_group;
      const auto weights =
          operand(backward ? GemmOperand{kType, own, 1, g.c} : GemmOperand{kType, own, elements * g.c, 1}, tile.b);
      multiply(positions, weights, to + group * (backward ? g.c : g.o), backward ? g.x_channels() : g.y_channels());
    }
  });
}

}  // namespace

void gemm_convolution(ConvKind kind, const ConvGeometry& g, DType dtype, const void* a, const void* b, void* to) {
  if (dtype == DType::float64)
    run(kind, g, static_cast<const double*>(a), static_cast<const double*>(b), static_cast<double*>(to));
  else
    run(kind, g, static_cast<const float*>(a), static_cast<const float*>(b), static_cast<float*>(to));
}

}  // namespace plait::cpu
