#include "backends/cpu/tile_kernels.h"

#include <cstdlib>
#include <string_view>

#include "backends/reference/scalar_ops.h"

namespace plait::cpu {

double erfinv_lane(double x) { return reference::erfinv(x); }

namespace {

#define PLAIT_TILE_KERNELS(target)       \
  TileKernels target##_kernels() {       \
    TileKernels table;                   \
    target::add_float_kernels(table);    \
    target::add_math_kernels(table);     \
    target::add_integer_kernels(table);  \
    target::add_convert_kernels(table);  \
    target::add_reduce_kernels(table);   \
    target::add_move_kernels(table);     \
    add_complex_kernels(table);          \
    return table;                        \
  }
PLAIT_TILE_KERNELS(portable)
#if defined(__x86_64__)
PLAIT_TILE_KERNELS(avx2)
PLAIT_TILE_KERNELS(avx512)
#endif
#undef PLAIT_TILE_KERNELS

}  // namespace

const TileKernels& tile_kernels() {
  static const TileKernels table = [] {
#if defined(__x86_64__)
    const char* forced = std::getenv("PLAIT_CPU_TARGET");
    const std::string_view want = forced ? forced : "avx512";
    if (want == "avx512" && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl"))
      return avx512_kernels();
    if (want != "portable" && __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) return avx2_kernels();
#endif
    return portable_kernels();
  }();
  return table;
}

}  // namespace plait::cpu
