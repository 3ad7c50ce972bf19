// Products with packed matrices as their definition says.
#include "backends/packed_products.h"
#include "backends/strided.h"
#include "base/dispatch.h"
#include "base/parallel.h"

namespace plait {
namespace {

using packed::Products;

// Rows of x meet rows of the packed matrix, each unpacked once.
template <class T>
void dots(const Products& p, const packed::Rows& packed, int64_t first, const T* x, int64_t row_stride, int64_t stride,
          T* out) {
  using W = Wide<T>;
  parallel_for(p.columns, row_grain(p.depth * (p.rows + 1)), [&](int64_t begin, int64_t end) {
    std::vector<W> w(static_cast<size_t>(p.depth));
    for (int64_t j = begin; j < end; ++j) {
      packed::unpack_row<T>(p.format, packed.row(first + j), p.depth, w.data());
      for (int64_t i = 0; i < p.rows; ++i) {
        W sum = 0;
        for (int64_t k = 0; k < p.depth; ++k)
          sum += widened(x[i * row_stride + k * stride]) * w[static_cast<size_t>(k)];
        out[i * p.columns + j] = narrowed<T>(sum);
      }
    }
  });
}

// Each element of x scales a row of the packed matrix.
template <class T>
void combine(const Products& p, const packed::Rows& packed, int64_t first, const T* x, int64_t row_stride,
             int64_t stride, T* out) {
  using W = Wide<T>;
  std::vector<W> sums(static_cast<size_t>(p.rows * p.columns)), w(static_cast<size_t>(p.columns));
  for (int64_t k = 0; k < p.depth; ++k) {
    packed::unpack_row<T>(p.format, packed.row(first + k), p.columns, w.data());
    for (int64_t i = 0; i < p.rows; ++i)
      for (int64_t j = 0; j < p.columns; ++j)
        sums[static_cast<size_t>(i * p.columns + j)] +=
            widened(x[i * row_stride + k * stride]) * w[static_cast<size_t>(j)];
  }
  for (int64_t i = 0; i < p.rows * p.columns; ++i) out[i] = narrowed<T>(sums[static_cast<size_t>(i)]);
}

void multiply_all(const KernelArgs& args, Products::Of which) {
  const TensorView &x = args.inputs[0], &out = args.outputs[0];
  const Products p(args, which);
  if (out.count() == 0) return;
  const size_t last = x.shape.size() - 1;
  const packed::Rows packed(p.parts);
  dispatch(out.dtype, [&]<class T>() {
    if constexpr (std::is_floating_point_v<Wide<T>>) {
      for (int64_t product = 0; product < p.count; ++product) {
        const auto at = p.begin(product);
        (p.transpose ? dots<T> : combine<T>)(p, packed, at.row, x.as<T>() + at.x, x.strides[last - 1], x.strides[last],
                                             out.as<T>() + product * p.rows * p.columns);
      }
    }
  });
}

void run(const KernelArgs& args) { multiply_all(args, Products::Of::all); }
void run_gathered(const KernelArgs& args) { multiply_all(args, Products::Of::picked); }

}  // namespace

void register_reference_kernels_quantized_matmul(KernelTable& table) {
  table.add("affine_matmul", Backend::reference, {.run = run, .contiguous_inputs = false});
  table.add("microscaled_matmul", Backend::reference, {.run = run, .contiguous_inputs = false});
  const Kernel gathered{.run = run_gathered, .checks_positions = true};
  table.add("affine_gathered_matmul", Backend::reference, gathered);
  table.add("microscaled_gathered_matmul", Backend::reference, gathered);
}

}  // namespace plait
