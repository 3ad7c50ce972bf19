// Where values are while machine code is written: registers, spills, memory.
#pragma once

#include <xbyak/xbyak.h>

#include <array>
#include <vector>

#include "backends/cpu/jit/analysis.h"

namespace plait::cpu::jit {

inline constexpr int kVectorBytes = 64, kVectorLanes = 16;
inline constexpr int kTailMask = 7;  // lanes of the last vector that are elements, when there are reductions
inline constexpr int kScratchMask = 1;  // inside one instruction sequence, when there are reductions

/// Linear scan: where no register is free, the value with the farthest next use gives its own up. A value of one copy has the
/// number `id * copies + copy`. Registers with a fixed use: rdi slots, rsi ahead, rdx n, rcx the element, r11 constants, rax
/// scratch, rbp the frame.
class Registers : public Xbyak::CodeGenerator {
 protected:
  explicit Registers(const Program& program)
      : CodeGenerator(4096, Xbyak::AutoGrow), program_(program), values_(program.tape.values), needs_(program) {}

  /// Starts an iteration: nothing is anywhere but what stays in registers throughout.
  void begin(const Body& b);

  /// The number of a value in a copy; leaves that are one for all elements are one for all copies.
  int number_of(int id, int copy) const;
  /// The register that holds the value now; it stays until unpin().
  int get(int number);
  void unpin();
  /// Whether an instruction reads the value from memory: a leaf without a register that needs none.
  bool from_memory(int number) const;
  Xbyak::Address memory(int number);
  /// Whether position `at` is the last to read the value, and its register may be the result's.
  bool ends(int number, int at);
  /// Operands are in registers (pinned) or memory: from here on their registers may be the result's. Shared leaves are read by
  /// other copies at the same position, so they end only with the last copy.
  void finish(int number, const int* in, int at);
  /// The register of the result. rax, which a memory operand may use, is not touched.
  int result(int number);
  /// The same, in a vector register that is known to be free.
  void hold(int number, int reg);
  /// Registers for the moment.
  int free_vector() { return take(files_[0]); }
  int free_mask() { return take(files_[1]); }

  /// A register that points to the slot's memory; rax if the registers do not suffice.
  Xbyak::Reg64 pointer(int slot);
  /// Where row elements of a slot are for copy `copy`: `width` bytes each.
  Xbyak::Address element(const Xbyak::AddressFrame& frame, int slot, int width, int copy);
  /// Vector registers that are the same for the whole program.
  int accumulator(size_t k) const { return kVectors - 1 - static_cast<int>(k); }
  int hoisted_reg(size_t k) const { return kVectors - 1 - static_cast<int>(program_.reduces.size() + k); }
  int most_spills() const { return most_spills_; }

  const Program& program_;
  const std::vector<Value>& values_;
  const Analysis needs_;
  const std::array<Xbyak::Reg64, kPointers> pointers_ = {rbx, r8, r9, r10, r12, r13, r14, r15};
  int copies_ = 1;  // of the iteration that is written

 private:
  struct Place {
    int reg = -1, spill = -1;
    size_t next = 0;  // into uses
  };
  struct File {  // vector registers, or masks
    std::vector<int> holder;
    std::vector<char> pinned, reserved;
    void reset(int count);
  };

  bool is_mask(int number) const { return gives_mask(values_[number / copies_].code); }
  bool is_shared(int id) const;
  File& file_of(int number) { return files_[is_mask(number)]; }
  void reserve(int reg, int number);
  int next_use(int number) const;
  int take(File& file);
  int place_in(int number, File& file);
  void load_leaf(int number, int reg);
  void load_mask(int reg, const Xbyak::Address& from);
  void release(const int* numbers, int at);

  // Of the iteration that is written.
  const Body* current_ = nullptr;
  std::vector<Place> places_;
  File files_[2];
  int spills_ = 0, most_spills_ = 0;
};

}  // namespace plait::cpu::jit
