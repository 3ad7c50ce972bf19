#include "backends/cpu/gemm.h"

#include <algorithm>
#include <cstring>

#include "backends/cpu/scratch.h"
#include "backends/cpu/tile_kernels.h"

namespace plait::cpu {
namespace {

constexpr int64_t kDepth = 256;       // steps summed before the result is touched: two panels of them stay in L1
constexpr int64_t kBlockRows = 240;   // a block of a and one of b stay in L2; 240 is a multiple of each tile's rows
constexpr int64_t kBlockColumns = 512;
constexpr int64_t kWantedBlocks = 16;  // enough for threads to share

int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }
int64_t round_up(int64_t a, int64_t b) { return ceil_div(a, b) * b; }

// Even blocks, each a multiple of `unit`, none above `most`.
int64_t even_block(int64_t extent, int64_t most, int64_t unit) {
  const int64_t blocks = std::max<int64_t>(1, ceil_div(extent, most));
  return std::max(unit, round_up(ceil_div(extent, blocks), unit));
}

template <class T>
void add_part(const T* from, int64_t from_stride, T* to, int64_t to_stride, int64_t rows, int64_t columns, bool add) {
  for (int64_t i = 0; i < rows; ++i)
    for (int64_t j = 0; j < columns; ++j)
      to[i * to_stride + j] = add ? to[i * to_stride + j] + from[i * from_stride + j] : from[i * from_stride + j];
}

}  // namespace

GemmCut gemm_cut(const GemmTile& tile, const GemmShape& shape, int64_t products) {
  int64_t most_rows = kBlockRows, most_columns = kBlockColumns;
  GemmCut cut;
  for (;;) {
    cut.rows = even_block(shape.rows, most_rows, tile.rows);
    cut.columns = even_block(shape.columns, most_columns, tile.columns);
    cut.row_blocks = ceil_div(shape.rows, cut.rows);
    cut.column_blocks = ceil_div(shape.columns, cut.columns);
    if (cut.count() * products >= kWantedBlocks) return cut;
    if (cut.columns > 128 && cut.columns >= cut.rows) {
      most_columns = cut.columns / 2;
    } else if (cut.rows > 60) {
      most_rows = cut.rows / 2;
    } else {
      return cut;
    }
  }
}

void gemm_block(const GemmTile& tile, int element_bytes, const GemmShape& shape, const GemmCut& cut, int64_t index,
                Pack pack_a, Pack pack_b, void* into, int64_t into_stride, Take take) {
  const bool is_double = element_bytes == 8;
  const int64_t sum_bytes = is_double ? 8 : 4;
  const int64_t row = index / cut.column_blocks * cut.rows, column = index % cut.column_blocks * cut.columns;
  const int64_t rows = std::min(cut.rows, shape.rows - row), columns = std::min(cut.columns, shape.columns - column);
  const int64_t row_panels = ceil_div(rows, tile.rows), column_panels = ceil_div(columns, tile.columns);
  const int64_t deepest = round_up(std::min(kDepth, shape.depth), tile.pair);
  Scratch scratch;
  char* a = scratch.take<char>(row_panels * tile.rows * deepest * element_bytes);
  char* b = scratch.take<char>(column_panels * tile.columns * deepest * element_bytes);
  char* edge = scratch.take<char>(tile.rows * tile.columns * sum_bytes);
  char* c = static_cast<char*>(into) + (row * into_stride + column) * sum_bytes;
  int64_t c_stride = into_stride;
  if (into == nullptr) {  // whole tiles, so that no edge needs care
    c_stride = column_panels * tile.columns;
    c = scratch.take<char>(row_panels * tile.rows * c_stride * sum_bytes);
  }
  for (int64_t p = 0; p < std::max<int64_t>(shape.depth, 1); p += kDepth) {
    const int64_t depth = std::min(kDepth, shape.depth - p);
    const int64_t steps = ceil_div(depth, tile.pair);
    pack_a(a, row, rows, p, depth);
    pack_b(b, column, columns, p, depth);
    const int64_t a_panel = tile.rows * steps * tile.pair * element_bytes,
                  b_panel = tile.columns * steps * tile.pair * element_bytes;
    for (int64_t j = 0; j < column_panels; ++j)
      for (int64_t i = 0; i < row_panels; ++i) {
        const int64_t high = std::min<int64_t>(tile.rows, rows - i * tile.rows),
                      wide = std::min<int64_t>(tile.columns, columns - j * tile.columns);
        char* to = c + (i * tile.rows * c_stride + j * tile.columns) * sum_bytes;
        if (into == nullptr || (high == tile.rows && wide == tile.columns)) {
          tile.run(steps, a + i * a_panel, b + j * b_panel, to, c_stride, p > 0);
          continue;
        }
        tile.run(steps, a + i * a_panel, b + j * b_panel, edge, tile.columns, false);
        if (is_double) {
          add_part(reinterpret_cast<const double*>(edge), tile.columns, reinterpret_cast<double*>(to), c_stride, high,
                   wide, p > 0);
        } else {
          add_part(reinterpret_cast<const float*>(edge), tile.columns, reinterpret_cast<float*>(to), c_stride, high,
                   wide, p > 0);
        }
      }
  }
  if (into == nullptr) take(c, c_stride, row, rows, column, columns);
}

namespace {

template <class T>
struct Transpose;
template <>
struct Transpose<uint32_t> {
  static auto run() { return gemm_kernels().transpose32; }
};
template <>
struct Transpose<uint64_t> {
  static auto run() { return gemm_kernels().transpose64; }
};

// One panel of `count` <= width rows. T moves bits: no arithmetic is done on them.
template <class T>
void pack_panel(const T* from, int64_t row_stride, int64_t step_stride, T* to, int width, int64_t count,
                int64_t depth) {
  if (count < width) std::memset(to, 0, static_cast<size_t>(width * depth) * sizeof(T));
  if (step_stride == 1) {
    Transpose<T>::run()(to, width, from, row_stride, count, depth);
  } else if (row_stride == 1) {
    for (int64_t p = 0; p < depth; ++p)
      std::memcpy(to + p * width, from + p * step_stride, static_cast<size_t>(count) * sizeof(T));
  } else {
    for (int64_t p = 0; p < depth; ++p)
      for (int64_t r = 0; r < count; ++r) to[p * width + r] = from[r * row_stride + p * step_stride];
  }
}

// 16-bit elements become float on the way: whole rows or whole steps are widened, then packed.
void pack_widened(const GemmOperand& from, int width, float* to, int64_t first, int64_t count, int64_t step,
                  int64_t depth) {
  const auto widen = from.type == GemmOperand::Type::f16 ? gemm_kernels().widen_f16 : gemm_kernels().widen_bf16;
  const auto* data = static_cast<const uint16_t*>(from.data) + first * from.row_stride + step * from.step_stride;
  if (count < width) std::memset(to, 0, static_cast<size_t>(width * depth) * sizeof(float));
  if (from.row_stride == 1) {
    for (int64_t p = 0; p < depth; ++p) widen(to + p * width, data + p * from.step_stride, count);
    return;
  }
  float row[kDepth];
  uint16_t gathered[kDepth];
  for (int64_t r = 0; r < count; ++r) {
    const uint16_t* line = data + r * from.row_stride;
    if (from.step_stride != 1) {
      for (int64_t p = 0; p < depth; ++p) gathered[p] = line[p * from.step_stride];
      line = gathered;
    }
    widen(row, line, depth);
    for (int64_t p = 0; p < depth; ++p) to[p * width + r] = row[p];
  }
}

// bfloat16 in pairs of steps: to[(p / 2) * width + r] holds both elements of row r.
void pack_pairs(const GemmOperand& from, int width, uint32_t* to, int64_t first, int64_t count, int64_t step,
                int64_t depth) {
  const auto* data = static_cast<const uint16_t*>(from.data) + first * from.row_stride + step * from.step_stride;
  const int64_t pairs = depth / 2;
  if (count < width) std::memset(to, 0, static_cast<size_t>(width * ((depth + 1) / 2)) * 4);
  if (from.step_stride == 1 && from.row_stride % 2 == 0) {
    gemm_kernels().transpose32(to, width, reinterpret_cast<const uint32_t*>(data), from.row_stride / 2, count, pairs);
  } else if (from.row_stride == 1) {
    for (int64_t p = 0; p < pairs; ++p)
      gemm_kernels().interleave16(reinterpret_cast<uint16_t*>(to + p * width), data + 2 * p * from.step_stride,
                                  data + (2 * p + 1) * from.step_stride, count);
  } else {
    for (int64_t r = 0; r < count; ++r)
      for (int64_t p = 0; p < pairs; ++p) {
        const uint16_t* at = data + r * from.row_stride + 2 * p * from.step_stride;
        to[p * width + r] = at[0] | static_cast<uint32_t>(at[from.step_stride]) << 16;
      }
  }
  if (depth % 2 != 0)
    for (int64_t r = 0; r < count; ++r)
      to[pairs * width + r] = data[r * from.row_stride + (depth - 1) * from.step_stride];
}

}  // namespace

void pack_operand(const GemmOperand& from, const GemmTile& tile, int width, char* to, int64_t first, int64_t count,
                  int64_t step, int64_t depth) {
  const int64_t padded = ceil_div(depth, tile.pair) * tile.pair;
  for (int64_t r = 0; r < count; r += width) {
    const int64_t high = std::min<int64_t>(width, count - r);
    const int64_t offset = (first + r) * from.row_stride + step * from.step_stride;
    if (tile.pair == 2) {
      pack_pairs(from, width, reinterpret_cast<uint32_t*>(to) + r * (padded / 2), first + r, high, step, depth);
      continue;
    }
    switch (from.type) {
      case GemmOperand::Type::f32:
        pack_panel(static_cast<const uint32_t*>(from.data) + offset, from.row_stride, from.step_stride,
                   reinterpret_cast<uint32_t*>(to) + r * depth, width, high, depth);
        break;
      case GemmOperand::Type::f64:
        pack_panel(static_cast<const uint64_t*>(from.data) + offset, from.row_stride, from.step_stride,
                   reinterpret_cast<uint64_t*>(to) + r * depth, width, high, depth);
        break;
      default: pack_widened(from, width, reinterpret_cast<float*>(to) + r * depth, first + r, high, step, depth); break;
    }
  }
}

void store_narrow(const float* c, int64_t stride, uint16_t* to, int64_t to_stride, int64_t rows, int64_t columns,
                  DType dtype) {
  constexpr int64_t kPiece = 256;
  const auto convert = tile_kernels().convert[static_cast<int>(DType::float32)][static_cast<int>(dtype)];
  alignas(64) float from[kPiece] = {};
  alignas(64) uint16_t narrow[kPiece];
  for (int64_t i = 0; i < rows; ++i)
    for (int64_t j = 0; j < columns; j += kPiece) {
      const int64_t n = std::min(kPiece, columns - j);
      std::memcpy(from, c + i * stride + j, static_cast<size_t>(n) * 4);
      convert(reinterpret_cast<char*>(narrow), reinterpret_cast<const char*>(from), nullptr, nullptr, 0, n);
      std::memcpy(to + i * to_stride + j, narrow, static_cast<size_t>(n) * 2);
    }
}

}  // namespace plait::cpu
