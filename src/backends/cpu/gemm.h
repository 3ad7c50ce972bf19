#pragma once

#include <cstdint>

#include "backends/cpu/gemm_kernels.h"
#include "base/function_ref.h"
#include "plait/dtype.h"

/// Dense products, cut into blocks by their extents only, so that results do not depend on the number of threads.
namespace plait::cpu {

/// Writes rows `first` to `first + count` of an operand, steps `from` to `from + depth`, into panels of `width` rows:
/// within a panel all rows of a step (of a pair of steps) lie together. Missing rows and an odd last step are zero.
using Pack = FunctionRef<void(char* to, int64_t first, int64_t count, int64_t from, int64_t depth)>;

/// Takes a finished block: c[i * stride + j] is the result at (row + i, column + j).
using Take =
    FunctionRef<void(const void* c, int64_t stride, int64_t row, int64_t rows, int64_t column, int64_t columns)>;

/// What a product needs to know of its extents.
struct GemmShape {
  int64_t rows = 0, columns = 0, depth = 0;
};

/// Blocks that a product is cut into.
struct GemmCut {
  int64_t rows = 0, columns = 0;  // of one block
  int64_t row_blocks = 0, column_blocks = 0;
  int64_t count() const { return row_blocks * column_blocks; }
};

/// `products` of this shape are to be computed: the more there are, the larger the blocks may be.
GemmCut gemm_cut(const GemmTile& tile, const GemmShape& shape, int64_t products);

/// Computes block `index` of a product. Sums of type float, or double for the f64 tile. With `into` the block is summed in
/// place, in a row-major result of that row stride; else `take` receives it.
void gemm_block(const GemmTile& tile, int element_bytes, const GemmShape& shape, const GemmCut& cut, int64_t index,
                Pack pack_a, Pack pack_b, void* into, int64_t into_stride, Take take);

/// A matrix in memory as packing sees it: row r, step p at data + (r * row_stride + p * step_stride) elements.
struct GemmOperand {
  enum class Type : uint8_t { f32, f64, f16, bf16 };
  Type type = Type::f32;
  const void* data = nullptr;
  int64_t row_stride = 0, step_stride = 0;
};

/// Packs from memory for a tile whose panels are `width` wide, converting to what the tile multiplies.
void pack_operand(const GemmOperand& from, const GemmTile& tile, int width, char* to, int64_t first, int64_t count,
                  int64_t step, int64_t depth);

/// Rows of float sums rounded to the 16-bit dtype of a result.
void store_narrow(const float* c, int64_t stride, uint16_t* to, int64_t to_stride, int64_t rows, int64_t columns,
                  DType dtype);

}  // namespace plait::cpu
