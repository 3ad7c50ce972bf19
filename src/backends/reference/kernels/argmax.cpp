#include <algorithm>
#include <complex>
#include <type_traits>

#include "backends/kernel.h"
#include "backends/order.h"
#include "backends/strided.h"
#include "base/dispatch.h"
#include "base/parallel.h"

namespace plait {
namespace {

// Elements are (outer, n, inner); the first of equal elements wins, and the first NaN over all numbers.
template <class T, bool kLargest>
void search(const T* from, uint32_t* to, int64_t outer, int64_t n, int64_t inner) {
  const auto better = [](T a, T b) {
    if (is_nan(b)) return false;
    return is_nan(a) || (kLargest ? number_less(b, a) : number_less(a, b));
  };
  constexpr int64_t kLane = 64;  // neighbours of an inner axis that are searched together
  const int64_t lanes = (inner + kLane - 1) / kLane;
  parallel_for(outer * lanes, row_grain(n * std::min(inner, kLane)), [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      const int64_t o = i / lanes, first = i % lanes * kLane;
      const int64_t width = std::min(kLane, inner - first);
      const T* row = from + o * n * inner + first;
      T best[kLane];
      uint32_t at[kLane];
      for (int64_t k = 0; k < width; ++k) {
        best[k] = row[k];
        at[k] = 0;
      }
      for (int64_t j = 1; j < n; ++j)
        for (int64_t k = 0; k < width; ++k) {
          const T x = row[j * inner + k];
          if (better(x, best[k])) {
            best[k] = x;
            at[k] = static_cast<uint32_t>(j);
          }
        }
      std::copy(at, at + width, to + o * inner + first);
    }
  });
}

template <bool kLargest>
void run(const KernelArgs& args) {
  const TensorView& in = args.inputs[0];
  const auto axis = static_cast<size_t>(args.attrs.get<int64_t>("axis"));
  int64_t outer = 1, inner = 1;
  for (size_t i = 0; i < axis; ++i) outer *= in.shape[i];
  for (size_t i = axis + 1; i < in.shape.size(); ++i) inner *= in.shape[i];
  dispatch(in.dtype, [&]<class T>() {
    search<T, kLargest>(in.as<T>(), args.outputs[0].as<uint32_t>(), outer, in.shape[axis], inner);
  });
}

}  // namespace

void register_reference_kernels_argmax(KernelTable& table) {
  table.add("argmax", Backend::reference, {.run = run<true>});
  table.add("argmin", Backend::reference, {.run = run<false>});
}

}  // namespace plait
