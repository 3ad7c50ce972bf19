// Threefry-2x32-20 on vectors, one function per instruction set.
//
// Only plain declarations here: this header is seen by sources of every instruction set.
#pragma once

#include <cstdint>

namespace plait::cpu {

/// first[i] and second[i] are the two words of counter (first_counter + i, second_counter + i), for i < n.
using ThreefryFn = void (*)(const uint32_t key[2], uint32_t first_counter, uint32_t second_counter, uint32_t* first,
                            uint32_t* second, int64_t n);

#define PLAIT_THREEFRY(target)                                                                           \
  namespace target {                                                                                     \
  void threefry(const uint32_t key[2], uint32_t first_counter, uint32_t second_counter, uint32_t* first, \
                uint32_t* second, int64_t n);                                                            \
  }
PLAIT_THREEFRY(portable)
#if defined(__x86_64__)
PLAIT_THREEFRY(avx2)
PLAIT_THREEFRY(avx512)
#endif
#undef PLAIT_THREEFRY

}  // namespace plait::cpu
