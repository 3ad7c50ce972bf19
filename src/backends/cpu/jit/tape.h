// Straight-line programs on vectors of 16 floats: what the JIT assembles. One is written by running the interpreter's own
// formulas on recorded vectors (recorded.h), so that both tiers round alike.
#pragma once

#include <cstdint>
#include <map>
#include <tuple>
#include <vector>

#include "plait/dtype.h"

namespace plait::cpu::jit {

enum class Code : uint8_t {
  // leaves: from a slot (imm: none), or bits that are fixed
  load_f32,
  load_f16,  // arrives as float
  load_bf16,  // arrives as float
  load_bool,  // a byte each, arrives as a mask
  uniform,  // one 32-bit element for all
  uniform_bool,
  constant,
  copy,  // of a leaf, to be stored
  // float
  add,
  sub,
  mul,
  div,
  min_or_second,
  max_or_second,
  scalef,
  sqrt,
  round,  // imm: as vrndscaleps
  get_exponent,
  get_mantissa,  // imm: as vgetmantps
  round_f16,
  fma,
  // 32-bit integers; imm: bits to shift by
  int_add,
  int_sub,
  shift_left,
  shift_right,
  shift_right_signed,
  bit_and,
  bit_or,
  bit_xor,
  // to masks; imm: as vcmpps, vpcmpd
  compare,
  compare_int,
  compare_unsigned,
  mask_and,
  mask_or,
  mask_xor,
  mask_not,
  blend,  // a ? b : c
};
constexpr bool is_leaf(Code code) { return code <= Code::constant; }
constexpr bool gives_mask(Code code) {
  return code == Code::load_bool || code == Code::uniform_bool || (code >= Code::compare && code <= Code::mask_not);
}

struct Value {
  Code code = Code::constant;
  uint8_t imm = 0;
  int32_t operands[3] = {-1, -1, -1};
  uint32_t bits = 0;  // constant: the bits; load, uniform: the slot
};

/// Values in the order in which they are made; equal ones are one.
class Tape {
 public:
  std::vector<Value> values;
  bool failed = false;  // a formula asked for what vectors cannot be asked for here

  int add(Code code, int a = -1, int b = -1, int c = -1, uint8_t imm = 0, uint32_t bits = 0) {
    const auto [at, is_new] = known_.try_emplace({code, imm, a, b, c, bits}, static_cast<int>(values.size()));
    if (is_new) values.push_back({code, imm, {a, b, c}, bits});
    return at->second;
  }
  int constant(uint32_t bits) { return add(Code::constant, -1, -1, -1, 0, bits); }

 private:
  std::map<std::tuple<Code, uint8_t, int, int, int, uint32_t>, int> known_;
};

/// The tape that recorded vectors of this thread write to.
Tape*& recording();

/// One fused step of the tile interpreter.
struct Program {
  struct Store {
    int slot = 0;
    int value = 0;
    DType dtype = DType::float32;  // or a 16-bit float or bool
    bool result = false;  // of the region: may bypass the caches
  };
  struct Reduce {
    int slot = 0;  // memory of its 16 lanes
    int value = 0;
    int reduction = 0;  // reduction_index
  };
  Tape tape;
  std::vector<Store> stores;
  std::vector<Reduce> reduces;
  bool looks_ahead = false;  // when it streams: brings closer what it is told will be read later
};

}  // namespace plait::cpu::jit
