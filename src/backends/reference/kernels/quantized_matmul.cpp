// Products with packed matrices as their definition says.
#include "backends/packed_numbers.h"
#include "backends/positions.h"
#include "backends/strided.h"
#include "base/dispatch.h"
#include "base/parallel.h"

namespace plait {
namespace {

struct Product {
  packed::Format format;
  int64_t rows, columns, depth;  // of one product
  bool transpose;
};

// Rows of x meet rows of the packed matrix, each unpacked once.
template <class T>
void dots(const Product& p, const packed::Rows& packed, int64_t first, const T* x, int64_t row_stride, int64_t stride,
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
void combine(const Product& p, const packed::Rows& packed, int64_t first, const T* x, int64_t row_stride,
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

/// Where operands of a product begin: elements of x, packed matrices.
struct Begin {
  int64_t x, matrix;
};

template <class F>
void multiply_all(const KernelArgs& args, std::span<const TensorView> parts, int64_t packed_rows, F begin) {
  const TensorView &x = args.inputs[0], &out = args.outputs[0];
  const size_t rank = out.shape.size();
  const Product p{packed::format_of(args.attrs), out.shape[rank - 2], out.shape[rank - 1], x.shape[rank - 1],
                  args.attrs.get<bool>("transpose")};
  const packed::Rows packed(parts);
  const int64_t products = out.count() / (p.rows * p.columns);
  dispatch(out.dtype, [&]<class T>() {
    if constexpr (std::is_floating_point_v<Wide<T>>) {
      for (int64_t product = 0; product < products; ++product) {
        const Begin at = begin(product);
        (p.transpose ? dots<T> : combine<T>)(p, packed, at.matrix * packed_rows, x.as<T>() + at.x, x.strides[rank - 2],
                                             x.strides[rank - 1], out.as<T>() + product * p.rows * p.columns);
      }
    }
  });
}

void run(const KernelArgs& args) {
  const TensorView &x = args.inputs[0], &words = args.inputs[1], &out = args.outputs[0];
  if (out.count() == 0) return;
  const size_t rank = out.shape.size();
  multiply_all(args, args.inputs.subspan(1), words.shape[rank - 2], [&](int64_t product) {
    int64_t at = 0, index = product;
    for (size_t axis = rank - 2; axis-- > 0;) {
      at += index % out.shape[axis] * x.strides[axis];
      index /= out.shape[axis];
    }
    return Begin{at, product};
  });
}

// Positions of x and of packed matrices come last.
void run_gathered(const KernelArgs& args) {
  const TensorView &x = args.inputs[0], &words = args.inputs[1];
  const size_t parts = args.inputs.size() - 3;
  const std::vector<int64_t> lhs = checked_positions(args.op, args.inputs[parts + 1], x.shape[0]);
  const std::vector<int64_t> rhs = checked_positions(args.op, args.inputs[parts + 2], words.shape[0]);
  if (args.outputs[0].count() == 0) return;
  multiply_all(args, args.inputs.subspan(1, parts), words.shape[1], [&](int64_t product) {
    const auto i = static_cast<size_t>(product);
    return Begin{lhs[i] * x.strides[0], rhs[i]};
  });
}

}  // namespace

void register_reference_kernels_quantized_matmul(KernelTable& table) {
  table.add("affine_matmul", Backend::reference, {.run = run, .contiguous_inputs = false});
  table.add("microscaled_matmul", Backend::reference, {.run = run, .contiguous_inputs = false});
  const Kernel gathered{.run = run_gathered, .checks_positions = true};
  table.add("affine_gathered_matmul", Backend::reference, gathered);
  table.add("microscaled_gathered_matmul", Backend::reference, gathered);
}

}  // namespace plait
