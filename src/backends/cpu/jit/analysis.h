// What a program needs, found before any of its machine code is written.
#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "backends/cpu/jit/tape.h"

namespace plait::cpu::jit {

inline constexpr int kNever = 1 << 30;
inline constexpr int kVectors = 32, kMasks = 8;  // registers
inline constexpr int kPointers = 8;  // registers that may keep where a slot is

/// What one iteration of a loop does: the tape for `copies` vectors side by side, so that one's latency is another's time.
struct Body {
  int copies = 1;
  std::vector<int> order;  // values that are computed, leaves left out, each `copies` times
  std::vector<std::vector<int>>
      uses;  // per value: positions in `order` that read it, ascending; kNever - 1 for the end
};

/// Refers to the program, which must live on.
class Analysis {
 public:
  explicit Analysis(const Program& program);

  std::vector<char> live;
  std::vector<uint32_t> constants;  // the program's, and then those of conversions
  std::vector<int> constant_at;  // per value: its index into constants
  int one = 0, round_half = 0, quiet = 0;  // indices
  Body single, main;  // the loops: of one vector, of as many side by side as registers allow
  std::vector<int> pointed;  // slots that are worth a pointer
  std::vector<int> hoisted;  // constants and uniforms that stay in registers

 private:
  void mark_live();
  void index_constants();
  Body body(int copies) const;
  std::array<int, 2> pressure(const Body& b) const;
  void choose_copies();
  void assign_pointers();
  void choose_hoisted();

  const Program& program_;
  const std::vector<Value>& values_;
  int spare_ = 0;
};

}  // namespace plait::cpu::jit
