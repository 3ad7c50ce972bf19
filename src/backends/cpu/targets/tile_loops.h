// Loops over tiles from functions of vectors. Included by the sources of one instruction set.
#pragma once

#include "backends/cpu/simd/vec.h"
#include "backends/cpu/tile_kernels.h"

#if !defined(__clang__)
#pragma GCC diagnostic ignored \
    "-Wmaybe-uninitialized"  // g++ 12 warns of its own _mm512_undefined_ps where it is inlined
#endif

#if defined(PLAIT_RECORDED)
#include "backends/cpu/jit/recorded_tiles.h"

namespace plait::cpu::PLAIT_TARGET {
#else
namespace plait::cpu::PLAIT_TARGET {

PLAIT_SIMD int64_t padded(int64_t n) { return (n + kTilePad - 1) & -kTilePad; }

/// F::apply(Vec<T>) -> Vec<T>
template <class T, class F>
void unary_tile(char* out, const char* a, const char*, const char*, unsigned uniform, int64_t n) {
  const int64_t step_a = uniform & 1 ? 0 : kVectorBytes;
  for (int64_t i = 0; i < n; i += kLanes<T>) {
    store(out, F::apply(load_as<Vec<T>>(a)));
    out += kVectorBytes, a += step_a;
  }
}

template <class T, class F>
void binary_tile(char* out, const char* a, const char* b, const char*, unsigned uniform, int64_t n) {
  const int64_t step_a = uniform & 1 ? 0 : kVectorBytes, step_b = uniform & 2 ? 0 : kVectorBytes;
  for (int64_t i = 0; i < n; i += kLanes<T>) {
    store(out, F::apply(load_as<Vec<T>>(a), load_as<Vec<T>>(b)));
    out += kVectorBytes, a += step_a, b += step_b;
  }
}

template <class T, class F>
void ternary_tile(char* out, const char* a, const char* b, const char* c, unsigned uniform, int64_t n) {
  const int64_t step_a = uniform & 1 ? 0 : kVectorBytes, step_b = uniform & 2 ? 0 : kVectorBytes;
  const int64_t step_c = uniform & 4 ? 0 : kVectorBytes;
  for (int64_t i = 0; i < n; i += kLanes<T>) {
    store(out, F::apply(load_as<Vec<T>>(a), load_as<Vec<T>>(b), load_as<Vec<T>>(c)));
    out += kVectorBytes, a += step_a, b += step_b, c += step_c;
  }
}

/// F::apply(Vec<T>, ...) -> mask, stored as bools. These run over whole tiles' padding, so that a uniform result fills a vector.
template <class T, class F>
void test_tile(char* out, const char* a, const char*, const char*, unsigned uniform, int64_t n) {
  const int64_t step_a = uniform & 1 ? 0 : kVectorBytes;
  n = padded(n);
  for (int64_t i = 0; i < n; i += kLanes<T>) {
    store_mask<Vec<T>>(out, F::apply(load_as<Vec<T>>(a)));
    out += kLanes<T>, a += step_a;
  }
}
template <class T, class F>
void compare_tile(char* out, const char* a, const char* b, const char*, unsigned uniform, int64_t n) {
  const int64_t step_a = uniform & 1 ? 0 : kVectorBytes, step_b = uniform & 2 ? 0 : kVectorBytes;
  n = padded(n);
  for (int64_t i = 0; i < n; i += kLanes<T>) {
    store_mask<Vec<T>>(out, F::apply(load_as<Vec<T>>(a), load_as<Vec<T>>(b)));
    out += kLanes<T>, a += step_a, b += step_b;
  }
}

template <class T>
void select_tile(char* out, const char* a, const char* b, const char* c, unsigned uniform, int64_t n) {
  const int64_t step_a = uniform & 1 ? 0 : kLanes<T>, step_b = uniform & 2 ? 0 : kVectorBytes;
  const int64_t step_c = uniform & 4 ? 0 : kVectorBytes;
  for (int64_t i = 0; i < n; i += kLanes<T>) {
    store(out, load_mask<Vec<T>>(a) ? load_as<Vec<T>>(b) : load_as<Vec<T>>(c));
    out += kVectorBytes, a += step_a, b += step_b, c += step_c;
  }
}

// Functions of single lanes, for what has no vector form: `f` is a function or a lambda of T.
template <class T, class F>
PLAIT_SIMD Vec<T> by_lane(Vec<T> a, F f) {
  for (int i = 0; i < kLanes<T>; ++i) a[i] = f(a[i]);
  return a;
}
template <class T, class F>
PLAIT_SIMD Vec<T> by_lane(Vec<T> a, Vec<T> b, F f) {
  for (int i = 0; i < kLanes<T>; ++i) a[i] = f(a[i], b[i]);
  return a;
}
#endif  // !PLAIT_RECORDED

/// A function object from an expression of vectors named a, b, c.
#define PLAIT_TILE_FN1(name, expression) \
  struct name {                          \
    template <class V>                   \
    PLAIT_SIMD auto apply(V a) {         \
      return expression;                 \
    }                                    \
  };
#define PLAIT_TILE_FN2(name, expression) \
  struct name {                          \
    template <class V>                   \
    PLAIT_SIMD auto apply(V a, V b) {    \
      return expression;                 \
    }                                    \
  };

}  // namespace plait::cpu::PLAIT_TARGET
