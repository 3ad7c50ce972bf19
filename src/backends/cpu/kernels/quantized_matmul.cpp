// Products with packed matrices. A few rows of x are multiplied while codes pass through registers, in one reading of the packed
// words; for more rows panels are unpacked into the cache, once for many rows, and multiplied as other matrices are.
#include <algorithm>
#include <cstring>

#include "backends/cpu/gemm.h"
#include "backends/cpu/packed_rows.h"
#include "backends/packed_products.h"
#include "backends/strided.h"
#include "base/dispatch.h"
#include "base/parallel.h"

namespace plait {
namespace {

using cpu::GemmOperand;
using cpu::GemmTile;
using cpu::kPackedPadding;
using cpu::kPackedRows;
using cpu::Scratch;

constexpr int64_t kWorkGrain = 1 << 17;  // multiplications worth handing to another thread
constexpr int64_t kRun = 128;  // columns that are unpacked at a time where rows of the matrix are steps of the product
constexpr int64_t kFewRows = 8;  // of x, for which unpacking again costs less than a panel's way through the cache

struct Product {
  packed::Format format;
  int64_t rows, columns, depth;
  bool transpose;
  DType dtype;
  GemmOperand x;
  int64_t first;  // row of the packed matrix
  char* out;

  int64_t packed_numbers() const { return transpose ? depth : columns; }
  int64_t groups() const { return packed_numbers() / format.group; }
};

// Rows of x as `dots` reads them, and the sums of their groups, which meet the biases.
class Arranged {
 public:
  Arranged(const Product& p, Scratch& scratch) {
    const auto& kernels = cpu::packed_kernels();
    const int codes = cpu::packed_codes(cpu::kind_of(p.format));
    const int64_t unit = static_cast<int64_t>(kernels.lanes) * codes, groups = p.groups();
    // A call takes 1, 2 or 4 rows: of 3 the fourth is zero.
    const int64_t rows = p.rows <= 2 ? p.rows : (p.rows + 3) / 4 * 4;
    stride_ = (p.depth + unit - 1) / unit * unit;
    sums_stride_ = groups + kPackedPadding;
    x_ = scratch.take<float>(rows * stride_);
    sums_ = scratch.take<float>(rows * sums_stride_);
    std::memset(sums_, 0, static_cast<size_t>(rows * sums_stride_) * sizeof(float));
    if (rows > p.rows)
      std::memset(x_ + p.rows * stride_, 0, static_cast<size_t>((rows - p.rows) * stride_) * sizeof(float));
    float* row = scratch.take<float>(p.depth);
    for (int64_t i = 0; i < p.rows; ++i) {
      cpu::pack_operand(p.x, {.width = 1}, 1, reinterpret_cast<char*>(row), i, 1, 0, p.depth);
      kernels.arrange(row, p.depth, codes, x_ + i * stride_);
      if (!p.format.affine()) continue;
      for (int64_t g = 0; g < groups; ++g)
        for (int64_t k = g * p.format.group; k < (g + 1) * p.format.group; ++k) sums_[i * sums_stride_ + g] += row[k];
    }
  }
  const float* x(int64_t row) const { return x_ + row * stride_; }
  const float* sums(int64_t row) const { return sums_ + row * sums_stride_; }
  int64_t sums_stride() const { return sums_stride_; }

 private:
  float *x_, *sums_;
  int64_t stride_, sums_stride_;
};

void store_sum(const Product& p, int64_t row, int64_t column, float sum) {
  const int64_t at = row * p.columns + column;
  switch (p.dtype) {
    case DType::float16: reinterpret_cast<float16_t*>(p.out)[at] = float16_t::from(sum); break;
    case DType::bfloat16: reinterpret_cast<bfloat16_t*>(p.out)[at] = bfloat16_t::from(sum); break;
    default: reinterpret_cast<float*>(p.out)[at] = sum;
  }
}

void multiply_few(const Product& p, const packed::Rows& packed, const cpu::PackedScales& scales) {
  const int of_x = p.rows == 1 ? 1 : p.rows == 2 ? 2 : 4, at_once = kPackedRows / of_x;
  const auto dots = cpu::packed_kernels().of(cpu::kind_of(p.format)).dots[of_x / 2];
  Scratch scratch;
  const Arranged x(p, scratch);
  const int64_t groups = p.groups();
  const int64_t grain = std::max<int64_t>(1, kWorkGrain / (p.depth * p.rows * at_once + 1)) * at_once;
  parallel_for(p.columns, grain, [&](int64_t begin, int64_t end) {
    Scratch own;
    float* rooms[kPackedRows];
    for (int r = 0; r < at_once; ++r) rooms[r] = scales.room(own, groups);
    float sums[kPackedRows];
    cpu::PackedDots at{};
    at.n = p.depth;
    at.group = p.format.group;
    at.x_sums_stride = x.sums_stride();
    at.sums = sums;
    for (int64_t j = begin; j < end; j += at_once) {
      for (int r = 0; r < at_once; ++r) {  // behind the last row it once more
        const auto row = packed.row(p.first + std::min(j + r, end - 1));
        const auto floats = scales.convert(row, 0, groups, rooms[r]);
        at.words[r] = row.words;
        at.scales[r] = floats.scales;
        at.biases[r] = floats.biases;
      }
      for (int64_t i = 0; i < p.rows; i += of_x) {
        at.x = x.x(i);
        at.x_sums = x.sums(i);
        dots(at);
        for (int r = 0; r < at_once && j + r < end; ++r)
          for (int m = 0; m < of_x && i + m < p.rows; ++m) store_sum(p, i + m, j + r, sums[r * of_x + m]);
      }
    }
  });
}

// Panels of the packed operand: its rows are columns of the product (transpose), or its steps.
class Panels {
 public:
  Panels(const Product& p, const packed::Rows& packed, const cpu::PackedScales& scales, const GemmTile& tile)
      : p_(p),
        packed_(packed),
        scales_(scales),
        tile_(tile),
        unpack_(cpu::packed_kernels().of(cpu::kind_of(p.format)).unpack) {}

  void pack(char* to, int64_t first, int64_t count, int64_t from, int64_t depth) const {
    // Along its rows the packed matrix is read in runs that are worth a look at the scales.
    const int64_t width = tile_.b.width, strip = p_.transpose ? width : std::max<int64_t>(1, kRun / width) * width;
    Scratch scratch;
    float* room = scales_.room(scratch, p_.groups());
    float* numbers = scratch.take<float>((strip + 16) * depth);
    for (int64_t j = 0; j < count; j += strip, to += strip * depth * 4) {
      const int64_t columns = std::min(strip, count - j);
      GemmOperand operand{GemmOperand::Type::f32, numbers, depth, 1};
      if (p_.transpose) {
        for (int64_t r = 0; r < columns; ++r) unpack(first + j + r, from, depth, room, numbers + r * depth);
      } else {  // from a multiple of 8 on
        const int64_t begin = (first + j) / 8 * 8, end = (first + j + columns + 7) / 8 * 8;
        for (int64_t k = 0; k < depth; ++k) unpack(from + k, begin, end - begin, room, numbers + k * (end - begin));
        operand = {GemmOperand::Type::f32, numbers + (first + j - begin), 1, end - begin};
      }
      cpu::pack_operand(operand, tile_.b, 1, to, 0, columns, 0, depth);
    }
  }

 private:
  void unpack(int64_t row, int64_t first, int64_t count, float* room, float* to) const {
    const auto packed = packed_.row(p_.first + row);
    const int64_t group = first / p_.format.group, groups = (first + count - 1) / p_.format.group - group + 1;
    const auto floats = scales_.convert(packed, group, groups, room);
    const int64_t skipped = group * p_.format.group;
    unpack_({packed.words + p_.format.words(skipped), floats.scales, floats.biases, p_.format.group, first - skipped,
             count},
            to);
  }

  const Product& p_;
  const packed::Rows& packed_;
  const cpu::PackedScales& scales_;
  const GemmTile& tile_;
  cpu::PackedKernels::Unpack unpack_;
};

void multiply_many(const Product& p, const packed::Rows& packed, const cpu::PackedScales& scales) {
  const GemmTile& tile = cpu::gemm_kernels().f32;
  const cpu::GemmShape shape{p.rows, p.columns, p.depth};
  const Panels panels(p, packed, scales, tile);
  const auto pack_x = [&](char* to, int64_t first, int64_t count, int64_t from, int64_t depth) {
    cpu::pack_operand(p.x, tile.a, 1, to, first, count, from, depth);
  };
  const auto pack_w = [&](char* to, int64_t first, int64_t count, int64_t from, int64_t depth) {
    panels.pack(to, first, count, from, depth);
  };
  const auto take = [&](const void* c, int64_t stride, int64_t row, int64_t rows, int64_t column, int64_t columns) {
    cpu::store_narrow(static_cast<const float*>(c), stride,
                      reinterpret_cast<uint16_t*>(p.out) + row * p.columns + column, p.columns, rows, columns, p.dtype);
  };
  const cpu::GemmResult result{is_half(p.dtype) ? nullptr : p.out, p.columns, take};
  if (cpu::gemm_shares(shape, 4)) return cpu::gemm_shared(tile, 4, shape, pack_x, pack_w, result);
  const cpu::GemmCut cut = cpu::gemm_cut(tile, shape, 1);
  const int64_t work =
      std::max<int64_t>(1, std::min(cut.rows, shape.rows) * std::min(cut.columns, shape.columns) * shape.depth);
  parallel_for(cut.count(), std::max<int64_t>(1, kWorkGrain / work), [&](int64_t begin, int64_t end) {
    for (int64_t task = begin; task < end; ++task) cpu::gemm_block(tile, 4, shape, cut, task, pack_x, pack_w, result);
  });
}

GemmOperand::Type type_of(DType d) {
  return d == DType::float16    ? GemmOperand::Type::f16
         : d == DType::bfloat16 ? GemmOperand::Type::bf16
                                : GemmOperand::Type::f32;
}

void multiply_all(const KernelArgs& args, packed::Products::Of which) {
  const TensorView &x = args.inputs[0], &out = args.outputs[0];
  if (out.dtype == DType::float64) return kernels().find(args.op, Backend::reference)->run(args);
  const packed::Products all(args, which);
  if (out.count() == 0) return;
  if (all.depth == 0) {
    std::memset(out.data, 0, static_cast<size_t>(out.count() * size_of(out.dtype)));
    return;
  }
  const size_t last = x.shape.size() - 1;
  const packed::Rows packed(all.parts);
  const cpu::PackedScales scales(all.format, args.inputs[2].dtype);
  Product p{all.format,
            all.rows,
            all.columns,
            all.depth,
            all.transpose,
            out.dtype,
            {type_of(x.dtype), x.data, x.strides[last - 1], x.strides[last]},
            0,
            out.as<char>()};
  for (int64_t i = 0; i < all.count; ++i, p.out += p.rows * p.columns * size_of(out.dtype)) {
    const auto at = all.begin(i);
    p.first = at.row;
    p.x.data = x.as<char>() + at.x * size_of(x.dtype);
    if (p.transpose && p.rows <= kFewRows) {
      multiply_few(p, packed, scales);
    } else {
      multiply_many(p, packed, scales);
    }
  }
}

void run(const KernelArgs& args) { multiply_all(args, packed::Products::Of::all); }
void run_gathered(const KernelArgs& args) { multiply_all(args, packed::Products::Of::picked); }

}  // namespace

void register_cpu_kernels_quantized_matmul(KernelTable& table) {
  table.add("affine_matmul", Backend::cpu, {.run = run, .contiguous_inputs = false});
  table.add("microscaled_matmul", Backend::cpu, {.run = run, .contiguous_inputs = false});
  const Kernel gathered{.run = run_gathered, .checks_positions = true};
  table.add("affine_gathered_matmul", Backend::cpu, gathered);
  table.add("microscaled_gathered_matmul", Backend::cpu, gathered);
}

}  // namespace plait
