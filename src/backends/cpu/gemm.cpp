#include "backends/cpu/gemm.h"

#include <algorithm>

#include "backends/cpu/scratch.h"
#include "base/parallel.h"
#include "memory/buffer.h"

namespace plait::cpu {
namespace {

constexpr int64_t kDepth = 256;       // steps summed before the result is touched: two panels of them stay in L1
constexpr int64_t kBlockRows = 240;   // a block of a and one of b stay in L2; 240 is a multiple of each tile's rows
constexpr int64_t kBlockColumns = 512;
constexpr int64_t kWantedBlocks = 16;  // enough for threads to share
constexpr int64_t kMostTile = 1024;    // results of the largest tile

constexpr int64_t kSharedWork = 1 << 25;  // multiplications from which packing once is worth a wait for all threads
constexpr int64_t kSharedBytes = 16 << 20;  // of one operand packed at a time
constexpr int64_t kSharedExtent = 2048;  // rows or columns packed at a time
constexpr int64_t kSharedRows = 128;  // of blocks
constexpr int64_t kSharedColumns = 512;
constexpr int64_t kSharedLeast = 32;  // rows and columns: with fewer there is little to pack
constexpr int64_t kOwnExtent = 256;  // as many rows (or columns) are not cut
constexpr int64_t kPackRows = 64;  // packed by one thread at a time

int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }
int64_t round_up(int64_t a, int64_t b) { return ceil_div(a, b) * b; }

// Even blocks, each a multiple of `unit`, none above `most`.
int64_t even_block(int64_t extent, int64_t most, int64_t unit) {
  const int64_t blocks = std::max<int64_t>(1, ceil_div(extent, most));
  return std::max(unit, round_up(ceil_div(extent, blocks), unit));
}

/// Packed operands of a block for some steps: where the first panel of each lies. Panels follow each other.
struct Packed {
  const char *a, *b;
  int64_t steps;  // of the tile
};

/// A block of the result, or of scratch memory with room for whole tiles.
struct Target {
  char* c;
  int64_t stride, rows, columns;
  bool whole_tiles;
};

template <class T>
void add_part(const T* from, int64_t from_stride, T* to, int64_t to_stride, int64_t rows, int64_t columns, bool add) {
  for (int64_t i = 0; i < rows; ++i)
    for (int64_t j = 0; j < columns; ++j)
      to[i * to_stride + j] = add ? to[i * to_stride + j] + from[i * from_stride + j] : from[i * from_stride + j];
}

// One step of the depth for a block. A panel of a stays in L1 while those of b run by.
void multiply(const GemmTile& tile, int element_bytes, const Packed& packed, const Target& to, bool add) {
  const int64_t high = tile.a.width, wide = tile.b.width, sum_bytes = element_bytes == 8 ? 8 : 4;
  const int64_t a_panel = high * packed.steps * tile.pair * element_bytes,
                b_panel = wide * packed.steps * tile.pair * element_bytes;
  alignas(64) char edge[kMostTile * 8];
  for (int64_t i = 0; i < to.rows; i += high)
    for (int64_t j = 0; j < to.columns; j += wide) {
      const char *a = packed.a + i / high * a_panel, *b = packed.b + j / wide * b_panel;
      char* c = to.c + (i * to.stride + j) * sum_bytes;
      const int64_t rows = std::min(high, to.rows - i), columns = std::min(wide, to.columns - j);
      if (to.whole_tiles || (rows == high && columns == wide)) {
        tile.run(packed.steps, a, b, c, to.stride, add);
        continue;
      }
      tile.run(packed.steps, a, b, edge, wide, false);
      if (element_bytes == 8)
        add_part(reinterpret_cast<const double*>(edge), wide, reinterpret_cast<double*>(c), to.stride, rows, columns,
                 add);
      else
        add_part(reinterpret_cast<const float*>(edge), wide, reinterpret_cast<float*>(c), to.stride, rows, columns,
                 add);
    }
}

// Calls step(first step, count, target) along the depth of one block, and gives the sums away.
template <class Step>
void each_depth(const GemmTile& tile, int element_bytes, const GemmShape& shape, int64_t row, int64_t rows,
                int64_t column, int64_t columns, const GemmResult& result, Step step) {
  const int64_t sum_bytes = element_bytes == 8 ? 8 : 4;
  Scratch scratch;
  Target to{nullptr, result.stride, rows, columns, false};
  if (result.into != nullptr) {
    to.c = static_cast<char*>(result.into) + (row * result.stride + column) * sum_bytes;
  } else {  // whole tiles, so that no edge needs care
    to.stride = round_up(columns, tile.b.width);
    to.c = scratch.take<char>(round_up(rows, tile.a.width) * to.stride * sum_bytes);
    to.whole_tiles = true;
  }
  for (int64_t p = 0; p < std::max<int64_t>(shape.depth, 1); p += kDepth)
    step(p, std::min(kDepth, shape.depth - p), to);
  if (result.into == nullptr) result.take(to.c, to.stride, row, rows, column, columns);
}

}  // namespace

GemmCut gemm_cut(const GemmTile& tile, const GemmShape& shape, int64_t products) {
  int64_t most_rows = kBlockRows, most_columns = kBlockColumns;
  GemmCut cut;
  for (;;) {
    cut.rows = even_block(shape.rows, most_rows, tile.a.width);
    cut.columns = even_block(shape.columns, most_columns, tile.b.width);
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
                Pack pack_a, Pack pack_b, const GemmResult& result) {
  const int64_t row = index / cut.column_blocks * cut.rows, column = index % cut.column_blocks * cut.columns;
  const int64_t rows = std::min(cut.rows, shape.rows - row), columns = std::min(cut.columns, shape.columns - column);
  const int64_t deepest = round_up(std::min(kDepth, shape.depth), tile.pair);
  Scratch scratch;
  char* a = scratch.take<char>(round_up(rows, tile.a.width) * deepest * element_bytes);
  char* b = scratch.take<char>(round_up(columns, tile.b.width) * deepest * element_bytes);
  each_depth(tile, element_bytes, shape, row, rows, column, columns, result,
             [&](int64_t p, int64_t depth, const Target& to) {
               pack_a(a, row, rows, p, depth);
               pack_b(b, column, columns, p, depth);
               multiply(tile, element_bytes, {a, b, ceil_div(depth, tile.pair)}, to, p > 0);
             });
}

bool gemm_shares(const GemmShape& shape, int element_bytes) {
  return std::min(shape.rows, shape.columns) >= kSharedLeast &&
         shape.rows * shape.columns * shape.depth >= kSharedWork &&
         shape.depth * element_bytes * kSharedColumns <= kSharedBytes;
}

namespace {

/// Rows of one operand packed whole: steps in parts of kDepth, each with all panels.
class Whole {
 public:
  Whole(const GemmPanels& panels, int pair, int element_bytes, int64_t depth, int64_t most)
      : width_(panels.width),
        pair_(pair),
        element_bytes_(element_bytes),
        depth_(depth),
        parts_(ceil_div(depth, kDepth)),
        group_(round_up(kPackRows, width_)),
        memory_(allocate(round_up(most, width_) * round_up(depth, pair) * element_bytes)) {}

  void hold(int64_t first, int64_t count) {
    first_ = first;
    count_ = count;
    groups_ = ceil_div(count, group_);
  }
  int64_t tasks() const { return parts_ * groups_; }
  void pack(int64_t task, Pack pack) {
    const int64_t p = task % parts_ * kDepth, row = task / parts_ * group_;
    pack(at(p, row), first_ + row, std::min(group_, count_ - row), p, steps(p));
  }
  /// Panels from `row` on, a multiple of the width.
  char* at(int64_t p, int64_t row) const {
    return static_cast<char*>(memory_->data()) +
           (p * round_up(count_, width_) + row * round_up(steps(p), pair_)) * element_bytes_;
  }

 private:
  int64_t steps(int64_t p) const { return std::min(kDepth, depth_ - p); }

  int64_t width_, pair_, element_bytes_, depth_, parts_, group_;
  Ref<Buffer> memory_;
  int64_t first_ = 0, count_ = 0, groups_ = 0;
};

}  // namespace

void gemm_shared(const GemmTile& tile, int element_bytes, const GemmShape& shape, Pack pack_a, Pack pack_b,
                 const GemmResult& result) {
  // With few rows one block has them all, so that each part of b is needed by one block only, and packed there.
  const bool own_b = shape.rows <= kOwnExtent && shape.rows < shape.columns;
  const bool own_a = shape.columns <= kOwnExtent && shape.columns < shape.rows;
  const int64_t most = std::min(kSharedExtent, kSharedBytes / (shape.depth * element_bytes));
  const int64_t high = even_block(shape.rows, own_a ? shape.rows : most, tile.a.width),
                wide = even_block(shape.columns, own_b ? shape.columns : most, tile.b.width);
  Whole a(tile.a, tile.pair, element_bytes, shape.depth, own_a ? 0 : high),
      b(tile.b, tile.pair, element_bytes, shape.depth, own_b ? 0 : wide);
  for (int64_t column = 0; column < shape.columns; column += wide) {
    const int64_t columns = std::min(wide, shape.columns - column);
    b.hold(column, own_b ? 0 : columns);
    for (int64_t row = 0; row < shape.rows; row += high) {
      const int64_t rows = std::min(high, shape.rows - row);
      a.hold(row, own_a ? 0 : rows);
      const int64_t of_b = row == 0 ? b.tasks() : 0;  // else still there
      parallel_for(of_b + a.tasks(), 1, [&](int64_t begin, int64_t end) {
        for (int64_t task = begin; task < end; ++task) task < of_b ? b.pack(task, pack_b) : a.pack(task - of_b, pack_a);
      });
      int64_t block_rows = own_b ? rows : even_block(rows, kSharedRows, tile.a.width),
              block_columns = own_a ? columns : even_block(columns, kSharedColumns, tile.b.width);
      while (ceil_div(rows, block_rows) * ceil_div(columns, block_columns) < kWantedBlocks) {
        if (!own_a && block_columns > (own_b ? 64 : 128))
          block_columns = even_block(columns, block_columns / 2, tile.b.width);
        else if (!own_b && block_rows > 64)
          block_rows = even_block(rows, block_rows / 2, tile.a.width);
        else
          break;
      }
      const int64_t across = ceil_div(columns, block_columns);
      parallel_for(across * ceil_div(rows, block_rows), 1, [&](int64_t begin, int64_t end) {
        Scratch scratch;
        char* own = scratch.take<char>((own_a ? block_rows : own_b ? block_columns : 0) * kDepth * element_bytes);
        for (int64_t task = begin; task < end; ++task) {
          const int64_t i = task / across * block_rows, j = task % across * block_columns;
          const int64_t of_rows = std::min(block_rows, rows - i), of_columns = std::min(block_columns, columns - j);
          each_depth(tile, element_bytes, shape, row + i, of_rows, column + j, of_columns, result,
                     [&](int64_t p, int64_t depth, const Target& to) {
                       if (own_a) pack_a(own, row + i, of_rows, p, depth);
                       if (own_b) pack_b(own, column + j, of_columns, p, depth);
                       multiply(tile, element_bytes,
                                {own_a ? own : a.at(p, i), own_b ? own : b.at(p, j), ceil_div(depth, tile.pair)}, to,
                                p > 0);
                     });
        }
      });
    }
  }
}

}  // namespace plait::cpu
