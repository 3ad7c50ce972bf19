#include "backends/packed_numbers.h"
#include "backends/strided.h"
#include "base/dispatch.h"
#include "base/parallel.h"

namespace plait {
namespace {

// In mode affine the product is rounded to T before the bias is added, as two operations on T would.
template <class T>
void unpack_rounded(const packed::Format& format, const packed::Rows::Row& row, int64_t n, T* to) {
  using W = Wide<T>;
  for (int64_t i = 0; i < n; ++i) {
    const int64_t g = i / format.group;
    const W code = static_cast<W>(packed::value_of(format, packed::code_at(row.words, i, format.bits)));
    if (format.affine()) {
      const T product = narrowed<T>(code * widened(static_cast<const T*>(row.scales)[g]));
      to[i] = narrowed<T>(widened(product) + widened(static_cast<const T*>(row.biases)[g]));
    } else {
      to[i] = narrowed<T>(code * static_cast<W>(packed::scale_of(format, static_cast<const uint8_t*>(row.scales)[g])));
    }
  }
}

void run(const KernelArgs& args) {
  const packed::Format format = packed::format_of(args.attrs);
  const TensorView& out = args.outputs[0];
  if (out.count() == 0) return;
  const packed::Rows rows(args.inputs);
  const int64_t n = out.shape.back();
  dispatch(out.dtype, [&]<class T>() {
    if constexpr (std::is_floating_point_v<Wide<T>>) {
      parallel_for(rows.count(), row_grain(n), [&](int64_t begin, int64_t end) {
        for (int64_t row = begin; row < end; ++row) unpack_rounded<T>(format, rows.row(row), n, out.as<T>() + row * n);
      });
    }
  });
}

}  // namespace

void register_reference_kernels_dequantize(KernelTable& table) {
  table.add("affine_dequantize", Backend::reference, {.run = run, .contiguous_inputs = false});
  table.add("microscaled_dequantize", Backend::reference, {.run = run, .contiguous_inputs = false});
}

}  // namespace plait
