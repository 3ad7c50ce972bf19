#include "backends/cpu/tile_kernels.h"

#include "backends/cpu/cpu_features.h"

namespace plait::cpu {
namespace {

#define PLAIT_TILE_KERNELS(target)      \
  TileKernels target##_kernels() {      \
    TileKernels table;                  \
    target::add_float_kernels(table);   \
    target::add_math_kernels(table);    \
    target::add_integer_kernels(table); \
    target::add_convert_kernels(table); \
    target::add_reduce_kernels(table);  \
    target::add_move_kernels(table);    \
    target::add_chain_kernels(table);   \
    add_complex_kernels(table);         \
    return table;                       \
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
    if (active_target() == Target::avx512) return avx512_kernels();
    if (active_target() == Target::avx2) return avx2_kernels();
#endif
    return portable_kernels();
  }();
  return table;
}

}  // namespace plait::cpu
