#include <algorithm>
#include <cstddef>

#include "backends/cpu/order.h"
#include "backends/kernel.h"
#include "backends/strided.h"
#include "base/parallel.h"

namespace plait {
namespace {

constexpr int64_t kColumns = 128;  // neighbours of an inner axis that a thread searches together

// Elements are (outer, n, inner).
template <bool kLargest>
void search(const KernelArgs& args) {
  const TensorView& in = args.inputs[0];
  if (in.dtype == DType::complex64) return kernels().find(args.op, Backend::reference)->run(args);
  const auto axis = static_cast<size_t>(args.attrs.get<int64_t>("axis"));
  int64_t outer = 1, inner = 1;
  for (size_t i = 0; i < axis; ++i) outer *= in.shape[i];
  for (size_t i = axis + 1; i < in.shape.size(); ++i) inner *= in.shape[i];
  const int64_t n = in.shape[axis], bytes = size_of(in.dtype);
  const std::byte* const from = in.as<std::byte>();
  uint32_t* const to = args.outputs[0].as<uint32_t>();
  const cpu::OrderKernels& order = cpu::order_kernels(in.dtype);
  const auto in_row = kLargest ? order.largest : order.smallest;
  const auto in_columns = kLargest ? order.largest_of_columns : order.smallest_of_columns;
  if (inner == 1) {
    parallel_for(outer, row_grain(n), [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) to[i] = static_cast<uint32_t>(in_row(from + i * n * bytes, n));
    });
    return;
  }
  const int64_t groups = (inner + kColumns - 1) / kColumns;
  parallel_for(outer * groups, row_grain(n * std::min(inner, kColumns)), [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      const int64_t o = i / groups, first = i % groups * kColumns;
      in_columns(from + (o * n * inner + first) * bytes, n, inner, std::min(kColumns, inner - first),
                 to + o * inner + first);
    }
  });
}

}  // namespace

void register_cpu_kernels_argmax(KernelTable& table) {
  table.add("argmax", Backend::cpu, {.run = search<true>});
  table.add("argmin", Backend::cpu, {.run = search<false>});
}

}  // namespace plait
