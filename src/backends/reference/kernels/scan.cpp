#include <algorithm>
#include <cmath>
#include <complex>
#include <limits>
#include <type_traits>
#include <vector>

#include "backends/kernel.h"
#include "backends/order.h"
#include "backends/strided.h"
#include "base/dispatch.h"
#include "base/parallel.h"

namespace plait {
namespace {

// Elements are (outer, n, inner), scanned along n. A running value `Acc` starts from an element and takes in the next ones.

/// What running sums and products are kept in: double for float32, since each element would add a rounding.
template <class T>
using Running = std::conditional_t<std::is_same_v<T, float>, double, Wide<T>>;

template <class T>
T rounded(Running<T> x) {
  if constexpr (std::is_same_v<T, float>)
    return static_cast<float>(x);
  else
    return narrowed<T>(x);
}

template <class T>
struct Sum {
  using Out = T;
  using Acc = Running<T>;
  static Acc start(T x) { return widened(x); }
  static Acc join(Acc a, Acc b) {
    if constexpr (std::is_same_v<T, bool>)
      return a || b;
    else if constexpr (std::is_integral_v<T>)
      return static_cast<T>(static_cast<std::make_unsigned_t<T>>(a) + static_cast<std::make_unsigned_t<T>>(b));
    else
      return a + b;
  }
  static Out value(Acc a) { return rounded<T>(a); }
};

template <class T>
struct Product {
  using Out = T;
  using Acc = Running<T>;
  static Acc start(T x) { return widened(x); }
  static Acc join(Acc a, Acc b) {
    if constexpr (std::is_same_v<T, bool>)
      return a && b;
    else if constexpr (std::is_integral_v<T>)
      return static_cast<T>(static_cast<uint64_t>(a) * static_cast<uint64_t>(b));
    else
      return a * b;
  }
  static Out value(Acc a) { return rounded<T>(a); }
};

/// NaN wins.
template <class T, bool kLargest>
struct Extreme {
  using Out = T;
  using Acc = T;
  static Acc start(T x) { return x; }
  static Acc join(Acc a, Acc b) {
    if (is_nan(a)) return a;
    return is_nan(b) || (kLargest ? number_less(a, b) : number_less(b, a)) ? b : a;
  }
  static Out value(Acc a) { return a; }
};

/// log(sum(exp)) as the largest real part so far and the sum relative to it.
template <class T>
struct LogSumExp {
  using Out = T;
  using W = Wide<T>;
  static auto real_of(W x) {
    if constexpr (std::is_same_v<W, std::complex<float>>)
      return x.real();
    else
      return x;
  }
  using Real = decltype(real_of(W()));
  struct Acc {
    Real top;
    W sum;
  };
  static Acc start(T x) {
    const W w = widened(x);
    const Real top = real_of(w);
    return {top, std::isfinite(top) ? std::exp(w - top)
                                    : W(top == -std::numeric_limits<Real>::infinity() ? Real(0) : Real(1))};
  }
  static Acc join(Acc a, Acc b) {
    if (a.top < b.top || std::isnan(b.top)) std::swap(a, b);
    const Real ratio = a.top == b.top ? Real(1) : std::exp(b.top - a.top);
    return {a.top, a.sum + b.sum * ratio};
  }
  static Out value(Acc a) { return narrowed<T>(a.top + std::log(a.sum)); }
};

constexpr int64_t kTogether = 4;  // rows scanned side by side: each waits for its last result
constexpr int64_t kBlock = int64_t{1} << 16;  // of a long row, scanned by one thread
constexpr int64_t kLane = 64;  // neighbours of an inner axis scanned together

template <class S, class T>
void scan_rows(const T* from, typename S::Out* to, int64_t rows, int64_t n, int64_t step) {
  const int64_t first = step > 0 ? 0 : n - 1;
  parallel_for((rows + kTogether - 1) / kTogether, row_grain(n * kTogether), [&](int64_t begin, int64_t end) {
    for (int64_t group = begin; group < end; ++group) {
      const int64_t base = group * kTogether;
      const auto scan = [&](auto count) {
        constexpr int64_t kCount = decltype(count)::value;
        typename S::Acc acc[kCount];
        for (int64_t r = 0; r < kCount; ++r) {
          acc[r] = S::start(from[(base + r) * n + first]);
          to[(base + r) * n + first] = S::value(acc[r]);
        }
        for (int64_t j = 1, at = first + step; j < n; ++j, at += step)
          for (int64_t r = 0; r < kCount; ++r) {
            const int64_t i = (base + r) * n + at;
            acc[r] = S::join(acc[r], S::start(from[i]));
            to[i] = S::value(acc[r]);
          }
      };
      switch (rows - base) {
        case 1: scan(std::integral_constant<int64_t, 1>()); break;
        case 2: scan(std::integral_constant<int64_t, 2>()); break;
        case 3: scan(std::integral_constant<int64_t, 3>()); break;
        default: scan(std::integral_constant<int64_t, kTogether>());
      }
    }
  });
}

// Blocks are reduced, their results scanned, and then each block scanned on from what came before it.
template <class S, class T>
void scan_long_row(const T* from, typename S::Out* to, int64_t n, int64_t step) {
  const int64_t blocks = (n + kBlock - 1) / kBlock;
  const auto position = [&](int64_t j) { return step > 0 ? j : n - 1 - j; };
  std::vector<typename S::Acc> totals(static_cast<size_t>(blocks));
  parallel_for(blocks - 1, 1, [&](int64_t begin, int64_t end) {
    for (int64_t b = begin; b < end; ++b) {
      auto acc = S::start(from[position(b * kBlock)]);
      for (int64_t j = b * kBlock + 1; j < (b + 1) * kBlock; ++j) acc = S::join(acc, S::start(from[position(j)]));
      totals[static_cast<size_t>(b)] = acc;
    }
  });
  for (size_t b = 1; b + 1 < totals.size(); ++b) totals[b] = S::join(totals[b - 1], totals[b]);
  parallel_for(blocks, 1, [&](int64_t begin, int64_t end) {
    for (int64_t b = begin; b < end; ++b) {
      int64_t j = b * kBlock;
      auto acc = S::start(from[position(j)]);
      if (b > 0) acc = S::join(totals[static_cast<size_t>(b - 1)], acc);
      to[position(j)] = S::value(acc);
      for (++j; j < std::min(n, (b + 1) * kBlock); ++j) {
        acc = S::join(acc, S::start(from[position(j)]));
        to[position(j)] = S::value(acc);
      }
    }
  });
}

template <class S, class T>
void scan_across(const T* from, typename S::Out* to, int64_t outer, int64_t n, int64_t inner, int64_t step) {
  const int64_t lanes = (inner + kLane - 1) / kLane, first = step > 0 ? 0 : n - 1;
  parallel_for(outer * lanes, row_grain(n * std::min(inner, kLane)), [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      const int64_t base = i / lanes * n * inner + i % lanes * kLane;
      const int64_t width = std::min(kLane, inner - i % lanes * kLane);
      typename S::Acc acc[kLane];
      for (int64_t j = 0, at = first; j < n; ++j, at += step) {
        const T* x = from + base + at * inner;
        typename S::Out* y = to + base + at * inner;
        for (int64_t k = 0; k < width; ++k) {
          acc[k] = j == 0 ? S::start(x[k]) : S::join(acc[k], S::start(x[k]));
          y[k] = S::value(acc[k]);
        }
      }
    }
  });
}

struct Extents {
  int64_t outer = 1, n = 1, inner = 1;
  explicit Extents(const KernelArgs& args) {
    const auto& shape = args.outputs[0].shape;
    const auto axis = static_cast<size_t>(args.attrs.get<int64_t>("axis"));
    for (size_t i = 0; i < axis; ++i) outer *= shape[i];
    n = shape[axis];
    for (size_t i = axis + 1; i < shape.size(); ++i) inner *= shape[i];
  }
};

template <class S, class T>
void scan(const KernelArgs& args) {
  if (args.outputs[0].count() == 0) return;
  const Extents e(args);
  const int64_t step = args.attrs.get<bool>("reverse") ? -1 : 1;
  const T* from = args.inputs[0].as<T>();
  auto* to = args.outputs[0].as<typename S::Out>();
  if (e.inner > 1) {
    scan_across<S>(from, to, e.outer, e.n, e.inner, step);
  } else if (e.outer < kTogether && e.n >= 2 * kBlock) {
    for (int64_t r = 0; r < e.outer; ++r) scan_long_row<S>(from + r * e.n, to + r * e.n, e.n, step);
  } else {
    scan_rows<S>(from, to, e.outer, e.n, step);
  }
}

template <template <class> class S>
void run(const KernelArgs& args) {
  dispatch(args.inputs[0].dtype, [&]<class T>() { scan<S<T>, T>(args); });
}
template <bool kLargest>
void run_extreme(const KernelArgs& args) {
  dispatch(args.inputs[0].dtype, [&]<class T>() { scan<Extreme<T, kLargest>, T>(args); });
}
void run_log_sum_exp(const KernelArgs& args) {
  dispatch(args.inputs[0].dtype, [&]<class T>() {
    if constexpr (!std::is_integral_v<T>) scan<LogSumExp<T>, T>(args);
  });
}

// y = a * (y before) + b; with segments y = b where the first input says that one starts.
template <bool kSegments>
void linear_scan(const KernelArgs& args) {
  const TensorView &factors = args.inputs[kSegments ? 1 : 0], &terms = args.inputs[kSegments ? 2 : 1];
  if (args.outputs[0].count() == 0) return;
  const Extents e(args);
  const int64_t step = args.attrs.get<bool>("reverse") ? -1 : 1, first = step > 0 ? 0 : e.n - 1;
  const int64_t lanes = (e.inner + kLane - 1) / kLane;
  dispatch(args.outputs[0].dtype, [&]<class T>() {
    if constexpr (!std::is_same_v<T, bool>) {
      parallel_for(e.outer * lanes, row_grain(e.n * std::min(e.inner, kLane)), [&](int64_t begin, int64_t end) {
        for (int64_t i = begin; i < end; ++i) {
          const int64_t base = i / lanes * e.n * e.inner + i % lanes * kLane;
          const int64_t width = std::min(kLane, e.inner - i % lanes * kLane);
          Wide<T> acc[kLane];
          for (int64_t j = 0, at = first; j < e.n; ++j, at += step) {
            const int64_t row = base + at * e.inner;
            const T* a = factors.as<T>() + row;
            const T* b = terms.as<T>() + row;
            const bool* starts = kSegments ? args.inputs[0].as<bool>() + row : nullptr;
            T* y = args.outputs[0].as<T>() + row;
            for (int64_t k = 0; k < width; ++k) {
              acc[k] = j == 0 || (kSegments && starts[k])
                           ? widened(b[k])
                           : static_cast<Wide<T>>(widened(a[k]) * acc[k] + widened(b[k]));
              y[k] = narrowed<T>(acc[k]);
            }
          }
        }
      });
    }
  });
}

}  // namespace

void register_reference_kernels_scan(KernelTable& table) {
  table.add("cumsum", Backend::reference, {.run = run<Sum>});
  table.add("cumprod", Backend::reference, {.run = run<Product>});
  table.add("cummax", Backend::reference, {.run = run_extreme<true>});
  table.add("cummin", Backend::reference, {.run = run_extreme<false>});
  table.add("logcumsumexp", Backend::reference, {.run = run_log_sum_exp});
  table.add("linear_scan", Backend::reference, {.run = linear_scan<false>});
  table.add("segment_scan", Backend::reference, {.run = linear_scan<true>});
}

}  // namespace plait
