#include <algorithm>
#include <complex>

#include "backends/kernel.h"
#include "backends/order.h"
#include "backends/positions.h"
#include "backends/strided.h"
#include "base/dispatch.h"
#include "base/parallel.h"

namespace plait {
namespace {

// As ScatterMode counts them.
enum Mode : int { kSet, kAdd, kMultiply, kMaximum, kMinimum };

template <class T, int kMode>
T combine(T old, T x) {
  if constexpr (kMode == kSet) {
    return x;
  } else if constexpr (kMode == kAdd) {
    if constexpr (std::is_same_v<T, bool>)
      return old || x;
    else
      return narrowed<T>(static_cast<Wide<T>>(widened(old) + widened(x)));
  } else if constexpr (kMode == kMultiply) {
    if constexpr (std::is_same_v<T, bool>)
      return old && x;
    else
      return narrowed<T>(static_cast<Wide<T>>(widened(old) * widened(x)));
  } else {
    if (is_nan(old) || is_nan(x)) return is_nan(old) ? old : x;
    return (kMode == kMaximum ? number_less(old, x) : number_less(x, old)) ? x : old;
  }
}

// Rows are written in the order of `rows` by whoever owns the target: ranges of columns where rows are long, ranges of
// target rows where they are short. Both are cut by extents only.
template <class T, int kMode>
void scatter(T* to, const int64_t* rows, const T* update, int64_t batch, int64_t n, int64_t m, int64_t rest) {
  constexpr int64_t kColumns = 256;
  const int64_t slabs = (rest + kColumns - 1) / kColumns;
  const int64_t ranges = slabs >= 4 || m * rest < 4 * kElementGrain ? 1 : std::min<int64_t>(n, 8);
  parallel_for(batch * slabs * ranges, row_grain(m * std::min(rest, kColumns)), [&](int64_t begin, int64_t end) {
    for (int64_t task = begin; task < end; ++task) {
      const int64_t b = task / (slabs * ranges), slab = task / ranges % slabs, range = task % ranges;
      const int64_t first = slab * kColumns, last = std::min(rest, first + kColumns);
      const int64_t from_row = n * range / ranges, to_row = n * (range + 1) / ranges;
      for (int64_t i = 0; i < m; ++i) {
        const int64_t row = rows[b * m + i];
        if (row < from_row || row >= to_row) continue;
        T* target = to + (b * n + row) * rest;
        const T* source = update + (b * m + i) * rest;
        for (int64_t k = first; k < last; ++k) target[k] = combine<T, kMode>(target[k], source[k]);
      }
    }
  });
}

template <class T>
void scatter_as(int64_t mode, T* to, const int64_t* rows, const T* update, int64_t batch, int64_t n, int64_t m,
                int64_t rest) {
  switch (mode) {
    case kSet: return scatter<T, kSet>(to, rows, update, batch, n, m, rest);
    case kAdd: return scatter<T, kAdd>(to, rows, update, batch, n, m, rest);
    case kMultiply: return scatter<T, kMultiply>(to, rows, update, batch, n, m, rest);
    case kMaximum: return scatter<T, kMaximum>(to, rows, update, batch, n, m, rest);
    default: return scatter<T, kMinimum>(to, rows, update, batch, n, m, rest);
  }
}

// Output 0 holds a copy of a: (batch, n, rest); at (batch, m), update (batch, m, rest).
void run_scatter(const KernelArgs& args) {
  const TensorView& out = args.outputs[0];
  const auto shared = static_cast<size_t>(args.attrs.get<int64_t>("batch"));
  int64_t batch = 1, rest = 1;
  for (size_t i = 0; i < shared; ++i) batch *= out.shape[i];
  for (size_t i = shared + 1; i < out.shape.size(); ++i) rest *= out.shape[i];
  const int64_t n = out.shape[shared], m = args.inputs[1].shape[shared];
  const std::vector<int64_t> rows = checked_positions(args.op, args.inputs[1], n);
  if (args.inputs[2].count() == 0) return;
  dispatch(out.dtype, [&]<class T>() {
    scatter_as(args.attrs.get<int64_t>("mode"), out.as<T>(), rows.data(), args.inputs[2].as<T>(), batch, n, m, rest);
  });
}

template <class T, int kMode>
void put_along(T* to, const int64_t* rows, const T* values, int64_t outer, int64_t n, int64_t m, int64_t inner) {
  parallel_for(outer, row_grain(m * inner), [&](int64_t begin, int64_t end) {
    for (int64_t o = begin; o < end; ++o)
      for (int64_t i = 0; i < m; ++i)
        for (int64_t k = 0; k < inner; ++k) {
          const int64_t at = (o * m + i) * inner + k;
          T& target = to[(o * n + rows[at]) * inner + k];
          target = combine<T, kMode>(target, values[at]);
        }
  });
}

void run_put_along(const KernelArgs& args) {
  const TensorView& out = args.outputs[0];
  const auto axis = static_cast<size_t>(args.attrs.get<int64_t>("axis"));
  int64_t outer = 1, inner = 1;
  for (size_t i = 0; i < axis; ++i) outer *= out.shape[i];
  for (size_t i = axis + 1; i < out.shape.size(); ++i) inner *= out.shape[i];
  const int64_t n = out.shape[axis], m = args.inputs[1].shape[axis];
  const std::vector<int64_t> rows = checked_positions(args.op, args.inputs[1], n);
  const bool adds = args.attrs.get<bool>("adds");
  dispatch(out.dtype, [&]<class T>() {
    const auto put = adds ? put_along<T, kAdd> : put_along<T, kSet>;
    put(out.as<T>(), rows.data(), args.inputs[2].as<T>(), outer, n, m, inner);
  });
}

}  // namespace

void register_reference_kernels_scatter(KernelTable& table) {
  table.add("scatter_rows", Backend::reference,
            {.run = run_scatter, .output_aliases_input0 = true, .checks_positions = true});
  table.add("put_along_axis", Backend::reference,
            {.run = run_put_along, .output_aliases_input0 = true, .checks_positions = true});
}

}  // namespace plait
