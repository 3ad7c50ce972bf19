// A region's program cut into passes over the row: what both tiers are made from.
#pragma once

#include <cstdint>
#include <vector>

#include "backends/region.h"

namespace plait::cuda {

/// Pass p reads the row and ends the reductions of `ending(p)`; after the last one, row outputs are written, then outer ones.
struct Staged {
  explicit Staged(RegionProgram program);

  RegionProgram program;  // Level::outer is Level::row where there is no row
  std::vector<int> pass;  // per instruction: results of passes before this one are known
  int passes = 0;  // that end reductions
  std::vector<uint32_t> reductions;  // live ones, by pass
  std::vector<int> slot_of;  // per instruction: place among `reductions`, or -1
  std::vector<int> first_slot;  // per pass, and one past the end
  std::vector<int> row_outputs, outer_outputs;
  std::vector<char> narrow;  // per instruction: an exponential of a 16-bit float that is only seen rounded to that type

  bool has_row() const { return program.row_rank > 0; }
  ir::Level level(uint32_t id) const { return program.code[id].level; }
  int operand_count() const { return static_cast<int>(program.inputs.size() + program.outputs.size()); }
  int output_operand(int k) const { return static_cast<int>(program.inputs.size()) + k; }
  DType operand_dtype(int k) const;

  /// Whether the value is a number of this 16-bit type.
  bool holds(uint32_t id, DType half) const;

  /// What `targets` are made from, in program order, themselves included; reductions count as known.
  std::vector<uint32_t> needed(const std::vector<uint32_t>& targets) const;
  std::vector<uint32_t> operands_of_pass(int p) const;  // what its reductions read
  /// `needed` for a pass, or, behind the last one, for the row outputs.
  std::vector<uint32_t> needed_in(int p) const;
  std::vector<uint32_t> values_of(const std::vector<int>& outputs) const;
  int most_reductions() const;  // of a pass, at least 1

 private:
  std::vector<char> narrow_exponentials() const;
};

/// Operands of an instruction.
int operands_of(const ir::Inst& inst, uint32_t (&ids)[3]);

}  // namespace plait::cuda
