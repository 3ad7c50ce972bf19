// Builds without the JIT (-DPLAIT_JIT=OFF) have this in place of assemble.cpp.
#include "backends/cpu/jit/assemble.h"

namespace plait::cpu::jit {

bool available() { return false; }
bool always() { return false; }
std::shared_ptr<const Code512> assemble(Program) { return nullptr; }

}  // namespace plait::cpu::jit
