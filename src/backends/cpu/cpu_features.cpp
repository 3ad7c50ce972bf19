#include "backends/cpu/cpu_features.h"

#include <cstdlib>
#include <string>

#if defined(__x86_64__)
#include <cpuid.h>
#endif

#include "plait/error.h"

namespace plait::cpu {
namespace {

constexpr Target kTargets[] = {Target::portable, Target::avx2, Target::avx512};

#if defined(__x86_64__)
bool has_f16c() {  // clang 16 has no name for it
  unsigned a = 0, b = 0, c = 0, d = 0;
  return __get_cpuid(1, &a, &b, &c, &d) && (c & bit_F16C);
}
#endif

}  // namespace

std::string_view name_of(Target target) {
  constexpr std::string_view kNames[] = {"portable", "avx2", "avx512"};
  return kNames[static_cast<int>(target)];
}

bool supported(Target target) {
  if (target == Target::portable) return true;
#if defined(__x86_64__)
  // The flags that cmake/PlaitLibrary.cmake compiles with. The run-time library also asks XGETBV for the operating system.
  const bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && has_f16c() &&
                    __builtin_cpu_supports("bmi") && __builtin_cpu_supports("bmi2");
  if (target == Target::avx2) return avx2;
  return avx2 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
         __builtin_cpu_supports("avx512cd") && __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
#else
  return false;
#endif
}

Target detail::target_for(const char* wanted) {
  Target best = Target::portable;
  std::string known;
  for (const Target target : kTargets) {
    if (supported(target)) best = target;
    if (wanted && name_of(target) == wanted) {
      if (supported(target)) return target;
      throw DeviceError({.op = "PLAIT_CPU_TARGET",
                         .got = wanted,
                         .accepts = "instruction sets of this machine, up to " + std::string(name_of(best))});
    }
    known += (known.empty() ? "" : ", ") + std::string(name_of(target));
  }
  if (wanted && *wanted) {
    throw ArgumentError(
        {.op = "PLAIT_CPU_TARGET", .got = wanted, .accepts = known, .hint = "unset it to use the best one"});
  }
  return best;
}

Target active_target() {
  static const Target target = detail::target_for(std::getenv("PLAIT_CPU_TARGET"));
  return target;
}

bool has_avx512_bf16() {
#if defined(__x86_64__)
  return active_target() == Target::avx512 && __builtin_cpu_supports("avx512bf16");
#else
  return false;
#endif
}

bool has_avx512_vnni() {
#if defined(__x86_64__)
  return active_target() == Target::avx512 && __builtin_cpu_supports("avx512vnni");
#else
  return false;
#endif
}

}  // namespace plait::cpu
