// Machine code of a fused step.
#pragma once

#include <cstdint>
#include <memory>

#include "backends/cpu/jit/tape.h"

namespace plait::cpu::jit {

/// An assembled program. May be called from several threads at once.
class Code512 {
 public:
  virtual ~Code512() = default;

  /// Elements [0, n) of the slots, and on to the next multiple of kTilePad; reductions take exactly n. Every element of an
  /// operand is read before any result at its place is written.
  void run(char* const* slots, int64_t n) const { plain_(slots, nullptr, n); }
  /// The same with results past the caches. They are aligned to cache lines and n is a multiple of kTilePad. `ahead`, for
  /// programs that look ahead: per slot, what will be read later and had better come closer now. Fence before others read the
  /// results.
  virtual void run_streaming(char* const* slots, char* const* ahead, int64_t n) const = 0;

 protected:
  using Function = void (*)(char* const* slots, char* const* ahead, int64_t n);
  Function plain_ = nullptr;
};

/// Whether this process may assemble: built with the JIT, on an AVX-512 machine, PLAIT_JIT not `never`.
bool available();
/// PLAIT_JIT is `always`: assemble even what runs once (for tests).
bool always();

struct NoExecutableMemory {};

/// Null where the system gives no executable memory.
std::shared_ptr<const Code512> assemble(Program program);

}  // namespace plait::cpu::jit
