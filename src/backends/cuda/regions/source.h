// CUDA C++ from a region's program: one text, built by itself, for each way of going over the iteration space, none for a shape.
#pragma once

#include "backends/cuda/regions/staged.h"
#include "backends/cuda/regions/text.h"

namespace plait::cuda {

/// Threads of a block, unless said otherwise.
inline constexpr int kThreads = 256;

/// Programs without a row. linear: operands of one element, or whose elements lie in the order of the space; strided: any;
/// tiled: any, in tiles of kTileRows neighbouring rows and kTileVectors vectors, for operands whose neighbours lie across rows;
/// strided_wide: any, of 2^31 vectors or more.
enum class ElementForm : uint8_t { linear, strided, tiled, strided_wide };
inline constexpr int kTileVectors = 8;
Source elementwise_source(const Staged& staged, ElementForm form);
/// Elements of one thread and step, and steps that one thread of `linear` takes at once.
int elementwise_lanes(const Staged& staged);
int elementwise_steps(const Staged& staged);

/// Rows of up to 32 chunks in one launch, read once where they fit into registers. few: a group of threads a row, each with one
/// vector (the group is a parameter); warp: a warp a row; block and large: a block a row, a warp a chunk, up to 8 and 32 warps.
enum class RowForm : uint8_t { few, warp, block, large };
/// full: threads have whole vectors throughout, which are aligned and whose elements are neighbours; even: some threads may have
/// fewer such vectors; any: of every kind.
enum class RowFit : uint8_t { full, even, any };
Source rows_source(const Staged& staged, RowForm form, RowFit fit);
int row_lanes(const Staged& staged);

/// Rows of 1 to kShortRow elements, a thread each: for rows of several axes, or beside one another.
Source short_source(const Staged& staged);

/// Rows of any length, a kernel for each pass, one for row outputs and one for outer outputs, as far as there are any. rows: a warp
/// takes a chunk of a row; columns: a block of up to 32 threads of y takes a chunk of as many neighbouring rows as it has threads of x;
/// columns_of_axes: the same for rows of several axes; block: one kernel in which a block of kLongThreads takes a row, as in
/// RowFit::even, of up to kLongChunks chunks.
enum class SplitForm : uint8_t { rows, columns, columns_of_axes, block };
inline constexpr int kLongThreads = 1024;
Source split_source(const Staged& staged, SplitForm form);

/// The first line of every text: the headers that it needs.
extern const char* const kSourcePrelude;

}  // namespace plait::cuda
