// What a launch gets: the operands and the iteration space of one run. Read by host and device.
#pragma once

namespace plait::cuda {

constexpr int kAxes = 12;

/// The combining tree of a reduction over a row of n elements, a function of n alone. The row is cut into chunks of kChunk. Of a
/// chunk, lane l of kLanesOfChunk takes elements l, l + kLanesOfChunk, ... one after the other, beginning with the identity; then
/// neighbouring lanes are combined pairwise until one is left. The chunks' results are the row of the next round.
constexpr int kChunk = 1024;
constexpr int kLanesOfChunk = 256;
/// The most chunks of a row that a block takes alone.
constexpr int kLongChunks = 1024;
/// The longest row that a thread takes alone.
constexpr int kShortRow = 32;

/// Strides count bytes and belong to the axes of the Space.
struct Operand {
  char* data;
  long long stride[kAxes];
};

/// Neighbouring axes are joined where every operand allows it. The row's axes are those from `split` on.
struct Space {
  int rank, split;
  long long extent[kAxes];
  long long rows, length;
};

/// Of reductions that several launches work on: some rows, and where partial results are.
struct Batch {
  long long first, count;  // rows
  long long chunks;  // of a row
  unsigned long long* results;  // bits, [reduction][row of the batch]
  unsigned long long* partials;  // bits, [reduction of this pass][row of the batch][chunk]
};

}  // namespace plait::cuda
