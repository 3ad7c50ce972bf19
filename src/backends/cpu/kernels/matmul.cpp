#include <algorithm>
#include <cstring>

#include "backends/cpu/gemm.h"
#include "backends/cpu/scratch.h"
#include "backends/kernel.h"
#include "backends/strided.h"
#include "base/parallel.h"

namespace plait {
namespace {

using cpu::GemmOperand;
using cpu::GemmShape;
using cpu::GemmTile;
using cpu::Scratch;

constexpr int64_t kWorkGrain = 1 << 17;  // multiplications worth handing to another thread

GemmOperand::Type type_of(DType d) {
  switch (d) {
    case DType::float16: return GemmOperand::Type::f16;
    case DType::bfloat16: return GemmOperand::Type::bf16;
    case DType::float64: return GemmOperand::Type::f64;
    default: return GemmOperand::Type::f32;
  }
}

// Batches of products: where each one's operands begin.
struct Batch {
  SmallVector<int64_t, 6> extents;
  SmallVector<int64_t, 6> a, b;  // strides in elements
  int64_t count = 1;

  void offsets(int64_t index, int64_t& at_a, int64_t& at_b) const {
    at_a = at_b = 0;
    for (size_t i = extents.size(); i-- > 0;) {
      const int64_t k = index % extents[i];
      index /= extents[i];
      at_a += k * a[i];
      at_b += k * b[i];
    }
  }
};

struct Product {
  DType dtype;
  GemmShape shape;
  Batch batch;
  GemmOperand a, b;  // rows of b are columns of the product
  char* out;
};

const char* shifted(const void* data, int64_t elements, DType dtype) {
  return static_cast<const char*>(data) + elements * size_of(dtype);
}

void run_blocks(const Product& p) {
  const auto& kernels = cpu::gemm_kernels();
  const bool wide = p.dtype == DType::float64;
  const bool pairs = p.dtype == DType::bfloat16 && kernels.bf16.run != nullptr;
  const GemmTile& tile = wide ? kernels.f64 : pairs ? kernels.bf16 : kernels.f32;
  const int element = wide ? 8 : pairs ? 2 : 4;
  const GemmShape shape = p.shape;
  const auto each = [&](int64_t product, auto multiply) {
    int64_t at_a, at_b;
    p.batch.offsets(product, at_a, at_b);
    GemmOperand a = p.a, b = p.b;
    a.data = shifted(a.data, at_a, p.dtype);
    b.data = shifted(b.data, at_b, p.dtype);
    char* out = p.out + product * shape.rows * shape.columns * size_of(p.dtype);
    const auto pack_a = [&](char* to, int64_t first, int64_t count, int64_t from, int64_t depth) {
      cpu::pack_operand(a, tile.a, tile.pair, to, first, count, from, depth);
    };
    const auto pack_b = [&](char* to, int64_t first, int64_t count, int64_t from, int64_t depth) {
      cpu::pack_operand(b, tile.b, tile.pair, to, first, count, from, depth);
    };
    const auto take = [&](const void* c, int64_t stride, int64_t row, int64_t rows, int64_t column, int64_t columns) {
      cpu::store_narrow(static_cast<const float*>(c), stride,
                        reinterpret_cast<uint16_t*>(out) + row * shape.columns + column, shape.columns, rows, columns,
                        p.dtype);
    };
    multiply(pack_a, pack_b, cpu::GemmResult{is_half(p.dtype) ? nullptr : out, shape.columns, take});
  };
  if (cpu::gemm_shares(shape, element)) {
    for (int64_t product = 0; product < p.batch.count; ++product)
      each(product, [&](cpu::Pack a, cpu::Pack b, const cpu::GemmResult& to) {
        cpu::gemm_shared(tile, element, shape, a, b, to);
      });
    return;
  }
  const cpu::GemmCut cut = cpu::gemm_cut(tile, shape, p.batch.count);
  const int64_t work =
      std::max<int64_t>(1, std::min(cut.rows, shape.rows) * std::min(cut.columns, shape.columns) * shape.depth);
  parallel_for(p.batch.count * cut.count(), std::max<int64_t>(1, kWorkGrain / work), [&](int64_t begin, int64_t end) {
    for (int64_t task = begin; task < end; ++task)
      each(task / cut.count(), [&](cpu::Pack a, cpu::Pack b, const cpu::GemmResult& to) {
        cpu::gemm_block(tile, element, shape, cut, task % cut.count(), a, b, to);
      });
  });
}

// One row times a matrix: each element of the matrix is used once, so nothing is packed.
void run_vector(const Product& p) {
  const auto& kernels = cpu::gemm_kernels();
  const bool deep = p.b.step_stride == 1;  // else neighbouring columns lie together
  const auto type = static_cast<int>(p.dtype == DType::float64    ? cpu::GemvType::f64
                                     : p.dtype == DType::float16  ? cpu::GemvType::f16
                                     : p.dtype == DType::bfloat16 ? cpu::GemvType::bf16
                                                                  : cpu::GemvType::f32);
  const auto run = deep ? kernels.dots[type] : kernels.combine[type];
  const int64_t stride = deep ? p.b.row_stride : p.b.step_stride;
  const bool wide = p.dtype == DType::float64, narrow = is_half(p.dtype);
  const int64_t sum_bytes = wide ? 8 : 4;
  const int64_t most = deep ? 512 : 2048;  // lines of 8 KiB are read at memory speed
  const int64_t n = p.shape.columns, depth = p.shape.depth, pieces = (n + most - 1) / most;
  const int64_t work = std::max<int64_t>(1, std::min(n, most) * depth);
  parallel_for(p.batch.count * pieces, std::max<int64_t>(1, kWorkGrain / 2 / work), [&](int64_t begin, int64_t end) {
    Scratch scratch;
    char* x = scratch.take<char>(depth * sum_bytes);
    char* sums = scratch.take<char>(most * sum_bytes);
    int64_t held = -1;
    for (int64_t task = begin; task < end; ++task) {
      const int64_t product = task / pieces, column = task % pieces * most, columns = std::min(most, n - column);
      int64_t at_a, at_b;
      p.batch.offsets(product, at_a, at_b);
      if (held != product) {  // the row, as floats behind each other
        GemmOperand row = p.a;
        row.data = shifted(p.a.data, at_a, p.dtype);
        constexpr int64_t kSteps = 256;
        const cpu::GemmPanels one{.width = 1};
        for (int64_t k = 0; k < depth; k += kSteps)
          cpu::pack_operand(row, one, 1, x + k * sum_bytes, 0, 1, k, std::min(kSteps, depth - k));
        held = product;
      }
      char* to = p.out + (product * n + column) * size_of(p.dtype);
      run(narrow ? sums : to, x, shifted(p.b.data, at_b + column * (deep ? stride : 1), p.dtype), stride, depth,
          columns);
      if (narrow)
        cpu::store_narrow(reinterpret_cast<const float*>(sums), columns, reinterpret_cast<uint16_t*>(to), columns, 1,
                          columns, p.dtype);
    }
  });
}

void run_real(const Product& p) {
  if (p.shape.rows == 0 || p.shape.columns == 0 || p.batch.count == 0) return;
  if (p.shape.depth == 0) {
    std::memset(p.out, 0, static_cast<size_t>(p.batch.count * p.shape.rows * p.shape.columns * size_of(p.dtype)));
    return;
  }
  if (p.shape.rows == 1 && (p.b.step_stride == 1 || p.b.row_stride == 1)) return run_vector(p);
  if (p.shape.columns == 1 && (p.a.step_stride == 1 || p.a.row_stride == 1)) {  // the same with the operands exchanged
    Product turned = p;
    std::swap(turned.a, turned.b);
    std::swap(turned.batch.a, turned.batch.b);
    std::swap(turned.shape.rows, turned.shape.columns);
    return run_vector(turned);
  }
  run_blocks(p);
}

// (ar + i ai)(br + i bi) from four products of the planes.
void run_complex(Product p) {
  const int64_t count = p.batch.count * p.shape.rows * p.shape.columns;
  auto* out = reinterpret_cast<float*>(p.out);
  for (GemmOperand* operand : {&p.a, &p.b}) {
    operand->row_stride *= 2;
    operand->step_stride *= 2;
  }
  for (auto* strides : {&p.batch.a, &p.batch.b})
    for (int64_t& stride : *strides) stride *= 2;
  p.dtype = DType::float32;
  std::vector<float> first(static_cast<size_t>(count)), second(static_cast<size_t>(count));
  const auto product = [&](int a_part, int b_part, std::vector<float>& to) {
    Product plane = p;
    plane.a.data = static_cast<const float*>(p.a.data) + a_part;
    plane.b.data = static_cast<const float*>(p.b.data) + b_part;
    plane.out = reinterpret_cast<char*>(to.data());
    run_real(plane);
  };
  product(0, 0, first);
  product(1, 1, second);
  for (int64_t i = 0; i < count; ++i) out[2 * i] = first[static_cast<size_t>(i)] - second[static_cast<size_t>(i)];
  product(0, 1, first);
  product(1, 0, second);
  for (int64_t i = 0; i < count; ++i) out[2 * i + 1] = first[static_cast<size_t>(i)] + second[static_cast<size_t>(i)];
}

void run(const KernelArgs& args) {
  const TensorView &a = args.inputs[0], &b = args.inputs[1], &out = args.outputs[0];
  const size_t rank = out.shape.size();
  Product p{.dtype = out.dtype,
            .shape = {out.shape[rank - 2], out.shape[rank - 1], a.shape[rank - 1]},
            .batch = {},
            .a = {},
            .b = {},
            .out = out.as<char>()};
  for (size_t i = 0; i + 2 < rank; ++i) {
    p.batch.extents.push_back(out.shape[i]);
    p.batch.a.push_back(a.strides[i]);
    p.batch.b.push_back(b.strides[i]);
    p.batch.count *= out.shape[i];
  }
  p.a = {type_of(a.dtype), a.data, a.strides[rank - 2], a.strides[rank - 1]};
  p.b = {type_of(b.dtype), b.data, b.strides[rank - 1], b.strides[rank - 2]};
  if (out.dtype == DType::complex64) return run_complex(std::move(p));
  run_real(p);
}

}  // namespace

void register_cpu_kernels_matmul(KernelTable& table) {
  table.add("matmul", Backend::cpu, {.run = run, .contiguous_inputs = false});
}

}  // namespace plait
