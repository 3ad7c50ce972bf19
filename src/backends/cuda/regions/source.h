// CUDA C++ from a region's program: one text for each way of going over the iteration space, none for a shape.
#pragma once

#include <string>
#include <vector>

#include "backends/cuda/regions/staged.h"

namespace plait::cuda {

/// Threads of a block, unless said otherwise.
inline constexpr int kThreads = 256;

/// A text with the names of its kernels.
struct Source {
  std::string text;
  std::vector<std::string> kernels;
};

/// Programs without a row. `linear`: operands of one element, or whose elements lie in the order of the space. `strided`: any;
/// `strided_wide`: any, of 2^31 vectors or more.
Source elementwise_source(const Staged& staged);
/// Elements of one thread and step, and steps that one thread of `linear` takes at once.
int elementwise_lanes(const Staged& staged);
int elementwise_steps(const Staged& staged);

/// Rows of up to 32 chunks in one launch, read once where they fit into registers. `rows_short`: a group of threads a row, each
/// with one vector; `rows_warp`: a warp a row; `rows_block` and `rows_large`: a block a row, one chunk a warp, up to 8 and 32 warps.
/// Then the same with `_even` behind: for rows of whole vectors that are aligned and whose elements are neighbours.
Source rows_source(const Staged& staged);
int row_lanes(const Staged& staged);

/// Rows of any length, a launch for each pass: `pass0_rows`, `pass0_columns`, ... and `final_rows`, `final_columns`, `outer`. A warp
/// takes a chunk of a row, or a block of up to 8 threads of y a chunk of as many neighbouring rows as it has threads of x.
Source split_source(const Staged& staged);

/// The first line of every text: the headers that it needs.
extern const char* const kSourcePrelude;

}  // namespace plait::cuda
