// Chains of cheap float ops: intermediate values stay in registers while a few vectors go through all ops.
#include "backends/cpu/targets/tile_loops.h"

namespace plait::cpu::PLAIT_TARGET {
namespace {

// Vectors under way at once: enough to hide the latency of an op, few enough for the registers of the machine.
constexpr int kVectors = kVectorBytes == 64 ? 4 : 8;

template <class T>
void chain(const ChainOp* ops, int64_t count, char* const* slots, int64_t n) {
  constexpr int64_t kStep = kVectors * kVectorBytes;
  using V = Vec<T>;
  V acc[kVectors] = {};
  const int64_t bytes = n * static_cast<int64_t>(sizeof(T));
  for (int64_t at = 0; at < bytes; at += kStep) {
    for (const ChainOp *op = ops, *end = ops + count; op != end; ++op) {
      char* p = slots[op->slot];
      const int64_t step = op->uniform ? 0 : kVectorBytes;
      if (!op->uniform) p += at;
#define PLAIT_CHAIN(code, expression)                            \
  case ChainCode::code:                                          \
    _Pragma("GCC unroll 8") for (int k = 0; k < kVectors; ++k) { \
      const V a = acc[k], b = load_as<V>(p + k * step);          \
      acc[k] = expression;                                       \
    }                                                            \
    break;
#define PLAIT_CHAIN_UNARY(code, expression)                      \
  case ChainCode::code:                                          \
    _Pragma("GCC unroll 8") for (int k = 0; k < kVectors; ++k) { \
      const V a = acc[k];                                        \
      acc[k] = expression;                                       \
    }                                                            \
    break;
      switch (op->code) {
        case ChainCode::load:
          _Pragma("GCC unroll 8") for (int k = 0; k < kVectors; ++k) acc[k] = load_as<V>(p + k * step);
          break;
        case ChainCode::store:
          _Pragma("GCC unroll 8") for (int k = 0; k < kVectors; ++k) store(p + k * kVectorBytes, acc[k]);
          break;
          PLAIT_CHAIN(add, a + b)
          PLAIT_CHAIN(sub, a - b)
          PLAIT_CHAIN(sub_from, b - a)
          PLAIT_CHAIN(mul, a * b)
          PLAIT_CHAIN(div, a / b)
          PLAIT_CHAIN(div_into, b / a)
          PLAIT_CHAIN(max, max(a, b))
          PLAIT_CHAIN(max_of, max(b, a))
          PLAIT_CHAIN(min, min(a, b))
          PLAIT_CHAIN(min_of, min(b, a))
          PLAIT_CHAIN_UNARY(neg, -a)
          PLAIT_CHAIN_UNARY(abs, abs(a))
          PLAIT_CHAIN_UNARY(sqrt, sqrt(a))
      }
#undef PLAIT_CHAIN
#undef PLAIT_CHAIN_UNARY
    }
  }
}

}  // namespace

void add_chain_kernels(TileKernels& table) {
  table.chain[0] = chain<float>;
  table.chain[1] = chain<double>;
}

}  // namespace plait::cpu::PLAIT_TARGET
