#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "graph/ir.h"
#include "plait/dtype.h"
#include "plait/small_vector.h"

/// A region: one pass over an iteration space, the unit that every tier executes. The engine cuts the graph into
/// regions (structure, made once per plan) and binds extents, pointers and scalars to them (each run).
namespace plait {

inline constexpr int kMaxRegionRank = 12;

/// Structure. The iteration space is `rank` axes: first the outer ones, then `row_rank` axes that the reductions run
/// over. Without reductions row_rank is 0 and every element value has Level::row all the same.
///
/// Order of evaluation: as if all of Level::scalar once; then for each outer position the outer and row values in
/// program order, where a reduction is complete before what reads it. Outputs of Level::outer have one element per
/// outer position, of Level::row one per element.
///
/// Bits: a reduction's combining tree depends on the row extents only (never on threads, layout of the other axes, or
/// alignment), so every tier and any thread count give the same bits. `reduce_sum` of float32 must be pairwise or
/// better across blocks; an empty row gives the identity (0, 1, -inf or the lowest, inf or the highest).
struct RegionProgram {
  struct Input {
    DType dtype;
    ir::Level level = ir::Level::row;  // scalar: one element; outer: strides are 0 along the row
  };
  struct Output {
    uint32_t value = 0;  // instruction
    DType dtype;         // storage: 16-bit floats are converted on the way out, exactly
    ir::Level level = ir::Level::row;
  };

  int rank = 0;
  int row_rank = 0;
  std::vector<Input> inputs;
  std::vector<DType> scalars;
  std::vector<Output> outputs;
  ir::Program code;
};

std::string to_string(const RegionProgram& region);

/// Bindings of one run. Strides count elements, may be negative or 0, and are given for all `rank` axes.
struct RegionBinding {
  struct Operand {
    void* data = nullptr;
    SmallVector<int64_t, 6> strides;
  };
  SmallVector<int64_t, 6> extents;       // rank
  std::vector<Operand> inputs;           // one per RegionProgram::Input
  std::vector<Operand> outputs;          // one per Output; an output may be the very memory of an input that has the
                                         // same strides and width (in place), and overlaps nothing else
  std::vector<ScalarBits> scalars;       // one per RegionProgram::scalars, bits of one element of that dtype
  uint32_t queue = 0;                    // on a device: where the work is enqueued
};

/// A region prepared by one tier of one device. Immutable; `run` may be called from several threads at once.
class CompiledRegion {
 public:
  virtual ~CompiledRegion() = default;
  virtual void run(const RegionBinding& binding) const = 0;
  /// Whether all runs since this was asked last had the code that suits them, so that none would go another way next time.
  virtual bool settled() const { return true; }
  /// How the next run would go, in a word for people; "" where there is one way only.
  virtual const char* how() const { return ""; }
};

/// Plain loops, one element at a time: the oracle for every other tier. Its sums are not bit-equal to theirs.
std::unique_ptr<CompiledRegion> compile_region_reference(RegionProgram region);

/// CPU tier 0: interprets the program tile by tile with SIMD loops, on the pool.
std::unique_ptr<CompiledRegion> compile_region_cpu(RegionProgram region);

}  // namespace plait
