// The loops that the tile interpreter is made of: one table of functions per instruction set.
//
// Only plain declarations here: this header is seen by sources of every instruction set.
#pragma once

#include <cstdint>

#include "graph/ir.h"
#include "plait/dtype.h"

namespace plait::cpu {

/// Elements that tiles are padded to: any kernel may read and write up to the next multiple.
constexpr int64_t kTilePad = 64;
/// Bytes of a value that is one for a whole tile: as many copies as the widest kernel writes at once.
constexpr int64_t kUniformBytes = kTilePad * 8;

/// log2 of the bytes of an element of each dtype. No function, which a debug build would share between instruction sets.
constexpr int kLogWidth[kDTypeCount] = {0, 0, 1, 2, 3, 0, 1, 2, 3, 1, 1, 2, 3, 3};

/// One instruction over `n` elements, rounded up as above; `out` may be an operand of the same element width. Bit k of `uniform`:
/// operand k is one vector of equal elements, read over and over. `n` = 1 makes such a value from such operands.
using TileFn = void (*)(char* out, const char* a, const char* b, const char* c, unsigned uniform, int64_t n);

/// The combining tree of reductions. Elements of a row go to lane (index mod kReduceLanes), in the order of the row, through a
/// block of kReduceBlock elements; then lanes are folded, upper half onto lower half; then blocks are combined pairwise.
/// Lanes start at the identity.
constexpr int64_t kReduceLanes = 16;
constexpr int64_t kReduceBlock = 1024;
constexpr int64_t kReduceStateBytes = 128;

struct ReduceFns {
  void (*begin)(char* lanes);
  void (*accumulate)(char* lanes, const char* in, int64_t n);  // `in` holds elements from a multiple of kReduceLanes on
  void (*finish)(char* out, const char* lanes);  // one element
  // out[i] of `rows` rows of `length` <= kReduceBlock elements each: begin, accumulate, finish.
  void (*segments)(char* out, const char* in, int64_t rows, int64_t length);
};

constexpr int kReductions = 4;  // sum, prod, max, min, as in ir::Op
constexpr int reduction_index(ir::Op op) { return static_cast<int>(op) - static_cast<int>(ir::Op::reduce_sum); }

/// Chains: runs of cheap ops on floats of one width, done on a few vectors at a time. There is one value under way; each code
/// joins it with a slot (`sub_from`: slot - value), replaces it, or stores it.
enum class ChainCode : uint8_t {
  load,
  store,
  add,
  sub,
  sub_from,
  mul,
  div,
  div_into,
  max,
  max_of,
  min,
  min_of,
  neg,
  abs,
  sqrt
};
struct ChainOp {
  ChainCode code = ChainCode::load;
  bool uniform = false;
  int slot = 0;
};
using ChainFn = void (*)(const ChainOp* ops, int64_t count, char* const* slots, int64_t n);

struct TileKernels {
  static constexpr int kOps = static_cast<int>(ir::Op::count_);
  // By the op and the type of its operands (of x and y for select, of bits for bitcast and for moves).
  TileFn compute[kOps][kDTypeCount] = {};
  // From and to; also between float32 and the 16-bit floats of memory.
  TileFn convert[kDTypeCount][kDTypeCount] = {};
  TileFn move[4] = {};  // by log2 of the width: copies, or fills with a uniform value
  ReduceFns reduce[kReductions][kDTypeCount] = {};

  ChainFn chain[2] = {};  // float32, float64

  // By log2 of the width; strides in elements. `splat` writes one vector.
  void (*splat[4])(char* out, const char* element) = {};
  void (*gather[4])(char* out, const char* in, int64_t stride, int64_t n) = {};
  void (*scatter[4])(char* out, int64_t stride, const char* in, int64_t n) = {};
  // out[i][j] = in[j][i] for i < rows, j < columns; strides in elements between the rows of out and of in.
  void (*transpose[4])(char* out, int64_t out_stride, const char* in, int64_t in_stride, int64_t rows,
                       int64_t columns) = {};
  // out[i * repeat + j] = in[i]
  void (*expand[4])(char* out, const char* in, int64_t n, int64_t repeat) = {};
  // Copies past the caches; what other threads read is complete after fence().
  void (*stream)(char* out, const char* in, int64_t bytes) = nullptr;
  void (*fence)() = nullptr;
};

/// The table of the instruction set in use. Errors: none; entries that no op of the IR defines are null.
const TileKernels& tile_kernels();

#define PLAIT_TILE_KERNELS(target)              \
  namespace target {                            \
  void add_float_kernels(TileKernels& table);   \
  void add_math_kernels(TileKernels& table);    \
  void add_integer_kernels(TileKernels& table); \
  void add_convert_kernels(TileKernels& table); \
  void add_reduce_kernels(TileKernels& table);  \
  void add_move_kernels(TileKernels& table);    \
  void add_chain_kernels(TileKernels& table);   \
  }
PLAIT_TILE_KERNELS(portable)
#if defined(__x86_64__)
PLAIT_TILE_KERNELS(avx2)
PLAIT_TILE_KERNELS(avx512)
#endif
#undef PLAIT_TILE_KERNELS
void add_complex_kernels(TileKernels& table);  // the same on every instruction set

}  // namespace plait::cpu
