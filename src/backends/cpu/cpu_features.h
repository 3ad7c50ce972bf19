// Which of the instruction sets that plait is compiled for to use.
#pragma once

#include <string_view>

namespace plait::cpu {

/// Instruction sets that src/backends/cpu/targets is compiled for; each includes those before it.
enum class Target { portable, avx2, avx512 };

std::string_view name_of(Target target);

/// Whether the processor and the operating system (which must save the wide registers) run it.
bool supported(Target target);

/// What all kernels use: the best supported target, or the one that the environment variable PLAIT_CPU_TARGET names. Read once.
/// Errors: ArgumentError for an unknown name, DeviceError for a target that this machine does not run.
Target active_target();

/// Extensions of AVX-512, false under a smaller active target.
bool has_avx512_bf16();
bool has_avx512_vnni();

namespace detail {
// For tests: the choice for a value of PLAIT_CPU_TARGET, null when unset.
Target target_for(const char* wanted);
}  // namespace detail

}  // namespace plait::cpu
