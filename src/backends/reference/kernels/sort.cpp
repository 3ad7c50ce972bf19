#include <algorithm>
#include <cstdint>
#include <numeric>
#include <vector>

#include "backends/kernel.h"
#include "backends/order.h"
#include "base/dispatch.h"
#include "base/parallel.h"

namespace plait {
namespace {

/// Calls body(row of `in`, its length, number of the row) for each row of the last axis.
template <class T, class F>
void each_row(const KernelArgs& args, F body) {
  const TensorView& in = args.inputs[0];
  const int64_t n = in.shape.back(), rows = n == 0 ? 0 : in.count() / n;
  for (int64_t r = 0; r < rows; ++r) body(in.as<T>() + r * n, n, r);
}

template <class T>
std::vector<uint32_t> sorted_positions(const T* row, int64_t n) {
  std::vector<uint32_t> at(static_cast<size_t>(n));
  std::iota(at.begin(), at.end(), 0u);
  std::stable_sort(at.begin(), at.end(), [row](uint32_t a, uint32_t b) { return in_order(row[a], row[b]); });
  return at;
}

void sort(const KernelArgs& args) {
  dispatch(args.inputs[0].dtype, [&]<class T>() {
    each_row<T>(args, [&](const T* row, int64_t n, int64_t r) {
      const auto at = sorted_positions(row, n);
      T* to = args.outputs[0].as<T>() + r * n;
      for (size_t i = 0; i < at.size(); ++i) to[i] = row[at[i]];
    });
  });
}

void argsort(const KernelArgs& args) {
  dispatch(args.inputs[0].dtype, [&]<class T>() {
    each_row<T>(args, [&](const T* row, int64_t n, int64_t r) {
      const auto at = sorted_positions(row, n);
      std::copy(at.begin(), at.end(), args.outputs[0].as<uint32_t>() + r * n);
    });
  });
}

void top_positions(const KernelArgs& args) {
  const int64_t k = args.outputs[0].shape.back();
  if (k == 0) return;
  dispatch(args.inputs[0].dtype, [&]<class T>() {
    each_row<T>(args, [&](const T* row, int64_t n, int64_t r) {
      const auto at = sorted_positions(row, n);
      std::copy(at.end() - k, at.end(), args.outputs[0].as<uint32_t>() + r * k);
    });
  });
}

// Every row of values (..., m) is looked up in a row of its own of sorted (..., n), or all of them in the only row.
void searchsorted(const KernelArgs& args) {
  const TensorView& sorted = args.inputs[0];
  const TensorView& values = args.inputs[1];
  const bool right = args.attrs.get<bool>("right");
  const int64_t n = sorted.shape.back();
  int64_t rows = 1;
  for (int i = 0; i + 1 < sorted.rank(); ++i) rows *= sorted.shape[static_cast<size_t>(i)];
  if (values.count() == 0) return;
  const int64_t each = values.count() / rows;
  dispatch(sorted.dtype, [&]<class T>() {
    parallel_for(values.count(), 4096, [&](int64_t from, int64_t to) {
      for (int64_t i = from; i < to; ++i) {
        const T x = values.as<T>()[i];
        const T* begin = sorted.as<T>() + i / each * n;
        const T* at = right ? std::upper_bound(begin, begin + n, x, in_order<T>)
                            : std::lower_bound(begin, begin + n, x, in_order<T>);
        args.outputs[0].as<uint32_t>()[i] = static_cast<uint32_t>(at - begin);
      }
    });
  });
}

}  // namespace

void register_reference_kernels_sort(KernelTable& table) {
  table.add("sort", Backend::reference, {.run = sort});
  table.add("argsort", Backend::reference, {.run = argsort});
  table.add("top_positions", Backend::reference, {.run = top_positions});
  table.add("searchsorted", Backend::reference, {.run = searchsorted});
}

}  // namespace plait
