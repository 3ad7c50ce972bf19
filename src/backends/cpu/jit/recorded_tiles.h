// What targets/tile_loops.h is for recorded vectors: an operand is no tile but the number of a value on the tape.
#pragma once

#include "backends/cpu/simd/vec.h"
#include "backends/cpu/tile_kernels.h"

namespace plait::cpu::recorded {

inline int number_at(const char* p) { return *reinterpret_cast<const int*>(p); }
template <class R>
void put_number(char* out, R value) {
  *reinterpret_cast<int*>(out) = value.id;
}

// Only float32 is assembled.
template <class T>
constexpr bool kIsRecorded = std::is_same_v<T, float>;

template <class T, class F>
void unary_tile(char* out, const char* a, const char*, const char*, unsigned, int64_t) {
  if constexpr (kIsRecorded<T>)
    put_number(out, F::apply(Vec<T>::of(number_at(a))));
  else
    cannot_record();
}
template <class T, class F>
void binary_tile(char* out, const char* a, const char* b, const char*, unsigned, int64_t) {
  if constexpr (kIsRecorded<T>)
    put_number(out, F::apply(Vec<T>::of(number_at(a)), Vec<T>::of(number_at(b))));
  else
    cannot_record();
}
template <class T, class F>
void ternary_tile(char* out, const char* a, const char* b, const char* c, unsigned, int64_t) {
  if constexpr (kIsRecorded<T>)
    put_number(out, F::apply(Vec<T>::of(number_at(a)), Vec<T>::of(number_at(b)), Vec<T>::of(number_at(c))));
  else
    cannot_record();
}
template <class T, class F>
void test_tile(char* out, const char* a, const char* b, const char* c, unsigned uniform, int64_t n) {
  unary_tile<T, F>(out, a, b, c, uniform, n);
}
template <class T, class F>
void compare_tile(char* out, const char* a, const char* b, const char* c, unsigned uniform, int64_t n) {
  binary_tile<T, F>(out, a, b, c, uniform, n);
}
/// Of bits: T is the unsigned integer of the width.
template <class T>
void select_tile(char* out, const char* a, const char* b, const char* c, unsigned, int64_t) {
  if constexpr (sizeof(T) == 4)
    put_number(out, select(RecordedMask{number_at(a)}, Vec<T>::of(number_at(b)), Vec<T>::of(number_at(c))));
  else
    cannot_record();
}

}  // namespace plait::cpu::recorded
