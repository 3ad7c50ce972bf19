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

/// Where results go. Sums have type float, or double for the f64 tile. With `into` they are formed in place, in a row-major
/// result of that row stride; else `take` receives each block.
struct GemmResult {
  void* into = nullptr;
  int64_t stride = 0;
  Take take;
};

/// Computes block `index` of a product, and packs what it needs.
void gemm_block(const GemmTile& tile, int element_bytes, const GemmShape& shape, const GemmCut& cut, int64_t index,
                Pack pack_a, Pack pack_b, const GemmResult& result);

/// Whether blocks of this product would pack the same parts so often that `gemm_shared` is faster.
bool gemm_shares(const GemmShape& shape, int element_bytes);

/// Computes a whole product on all threads; each part of the operands is packed once. Same results as from blocks.
void gemm_shared(const GemmTile& tile, int element_bytes, const GemmShape& shape, Pack pack_a, Pack pack_b,
                 const GemmResult& result);

/// A matrix in memory as packing sees it: row r, step p at data + (r * row_stride + p * step_stride) elements.
struct GemmOperand {
  enum class Type : uint8_t { f32, f64, f16, bf16 };
  Type type = Type::f32;
  const void* data = nullptr;
  int64_t row_stride = 0, step_stride = 0;
};

/// Packs from memory into panels of a tile that multiplies `pair` steps at a time, converting to what it multiplies. Without
/// functions to pack, `panels` may hold single rows.
void pack_operand(const GemmOperand& from, const GemmPanels& panels, int pair, char* to, int64_t first, int64_t count,
                  int64_t step, int64_t depth);

/// Rows of float sums rounded to the 16-bit dtype of a result.
void store_narrow(const float* c, int64_t stride, uint16_t* to, int64_t to_stride, int64_t rows, int64_t columns,
                  DType dtype);

}  // namespace plait::cpu
