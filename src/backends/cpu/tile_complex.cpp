// complex64 tiles: loops over lanes with the standard library, the same on every instruction set.
#include <cmath>
#include <complex>
#include <cstring>

#include "backends/cpu/tile_kernels.h"
#include "backends/reference/scalar_ops.h"

namespace plait::cpu {
namespace {

using ir::Op;
using Complex = std::complex<float>;

template <class T>
T get(const char* p, unsigned uniform, int operand, int64_t i) {
  T x;
  std::memcpy(static_cast<void*>(&x), p + (uniform >> operand & 1 ? 0 : i * static_cast<int64_t>(sizeof x)), sizeof x);
  return x;
}
template <class T>
void put(char* p, int64_t i, T x) {
  std::memcpy(p + i * static_cast<int64_t>(sizeof x), &x, sizeof x);
}
/// Uniform results fill the longest vector of their width.
int64_t padded(int64_t n) { return n == 1 ? kTilePad : n; }

template <auto f, class A = Complex>
void unary(char* out, const char* a, const char*, const char*, unsigned uniform, int64_t n) {
  if (n == 1) {
    const auto result = f(get<A>(a, uniform, 0, 0));
    for (int64_t i = 0; i < kTilePad; ++i) put(out, i, result);
    return;
  }
  for (int64_t i = 0; i < n; ++i) put(out, i, f(get<A>(a, uniform, 0, i)));
}
template <auto f, class A = Complex>
void binary(char* out, const char* a, const char* b, const char*, unsigned uniform, int64_t n) {
  n = padded(n);
  for (int64_t i = 0; i < n; ++i) put(out, i, f(get<A>(a, uniform, 0, i), get<A>(b, uniform, 1, i)));
}

template <Op op>
Complex one(Complex x) {
  return reference::unary(op, x);
}
template <Op op>
Complex two(Complex a, Complex b) {
  return reference::binary(op, a, b);
}
template <Op op>
bool test(Complex x) {
  return reference::test(op, x);
}
template <Op op>
bool compare(Complex a, Complex b) {
  return reference::compare(op, a, b);
}
// The usual products, without the search for infinities that C asks of a compiler.
Complex multiply(Complex a, Complex b) {
  return {a.real() * b.real() - a.imag() * b.imag(), a.real() * b.imag() + a.imag() * b.real()};
}
float magnitude(Complex x) { return std::abs(x); }
float real(Complex x) { return x.real(); }
float imag(Complex x) { return x.imag(); }
Complex join(float re, float im) { return {re, im}; }
template <class To>
To from_complex(Complex x) {
  return reference::convert<To>(x);
}
template <class From>
Complex to_complex(From x) {
  return reference::convert<Complex>(x);
}

void fma_tile(char* out, const char* a, const char* b, const char* c, unsigned uniform, int64_t n) {
  n = padded(n);
  for (int64_t i = 0; i < n; ++i)
    put(out, i,
        multiply(get<Complex>(a, uniform, 0, i), get<Complex>(b, uniform, 1, i)) + get<Complex>(c, uniform, 2, i));
}

/// The tree of tile_kernels.h.
template <Op reduction>
struct Reduce {
  static constexpr Op kCombiner = reduction == Op::reduce_sum   ? Op::add
                                  : reduction == Op::reduce_max ? Op::max
                                  : reduction == Op::reduce_min ? Op::min
                                                                : Op::mul;
  static Complex combine(Complex a, Complex b) {
    if constexpr (kCombiner == Op::mul)
      return multiply(a, b);
    else
      return two<kCombiner>(a, b);
  }
  static void begin(char* lanes) {
    for (int64_t i = 0; i < kReduceLanes; ++i) put(lanes, i, reference::identity<Complex>(reduction));
  }
  static void accumulate(char* lanes, const char* in, int64_t n) {
    for (int64_t i = 0; i < n; ++i) {
      const int64_t lane = i % kReduceLanes;
      put(lanes, lane, combine(get<Complex>(lanes, 0, 0, lane), get<Complex>(in, 0, 0, i)));
    }
  }
  static void finish(char* out, const char* lanes) {
    Complex at[kReduceLanes];
    for (int64_t i = 0; i < kReduceLanes; ++i) at[i] = get<Complex>(lanes, 0, 0, i);
    for (int64_t half = kReduceLanes / 2; half > 0; half /= 2)
      for (int64_t i = 0; i < half; ++i) at[i] = combine(at[i], at[i + half]);
    put(out, 0, at[0]);
  }
  static void segments(char* out, const char* in, int64_t rows, int64_t length) {
    for (int64_t r = 0; r < rows; ++r) {
      char lanes[kReduceStateBytes];
      begin(lanes);
      accumulate(lanes, in + r * length * static_cast<int64_t>(sizeof(Complex)), length);
      finish(out + r * static_cast<int64_t>(sizeof(Complex)), lanes);
    }
  }
  static constexpr ReduceFns kFns = {begin, accumulate, finish, segments};
};

constexpr int kComplex = static_cast<int>(DType::complex64);

template <Op... ops>
void add_unary(TileKernels& table) {
  ((table.compute[static_cast<int>(ops)][kComplex] = unary<one<ops>>), ...);
}
template <Op... ops>
void add_binary(TileKernels& table) {
  ((table.compute[static_cast<int>(ops)][kComplex] = binary<two<ops>>), ...);
}
template <Op... ops>
void add_tests(TileKernels& table) {
  ((table.compute[static_cast<int>(ops)][kComplex] = unary<test<ops>>), ...);
}
template <Op... ops>
void add_comparisons(TileKernels& table) {
  ((table.compute[static_cast<int>(ops)][kComplex] = binary<compare<ops>>), ...);
}
template <class... Types>
void add_conversions(TileKernels& table) {
  ((table.convert[kComplex][static_cast<int>(dtype_of<Types>)] = unary<from_complex<Types>>), ...);
  ((table.convert[static_cast<int>(dtype_of<Types>)][kComplex] = unary<to_complex<Types>, Types>), ...);
}

}  // namespace

void add_complex_kernels(TileKernels& table) {
  add_unary<Op::neg, Op::conj, Op::sign, Op::sqrt, Op::rsqrt, Op::exp, Op::exp2, Op::expm1, Op::log, Op::log2,
            Op::log10, Op::log1p, Op::sin, Op::cos, Op::tan, Op::asin, Op::acos, Op::atan, Op::sinh, Op::cosh, Op::tanh,
            Op::asinh, Op::acosh, Op::atanh, Op::floor, Op::ceil, Op::trunc, Op::rint>(table);
  add_binary<Op::add, Op::sub, Op::div, Op::pow, Op::max, Op::min>(table);
  add_tests<Op::is_nan, Op::is_inf, Op::is_finite>(table);
  add_comparisons<Op::eq, Op::ne, Op::lt, Op::le, Op::gt, Op::ge>(table);
  add_conversions<bool, uint8_t, uint16_t, uint32_t, uint64_t, int8_t, int16_t, int32_t, int64_t, float, double>(table);
  const auto set = [&](Op op, TileFn fn) { table.compute[static_cast<int>(op)][kComplex] = fn; };
  set(Op::mul, binary<multiply>);
  set(Op::fma, fma_tile);
  set(Op::abs, unary<magnitude>);
  set(Op::real, unary<real>);
  set(Op::imag, unary<imag>);
  table.convert[kComplex][kComplex] = unary<from_complex<Complex>>;  // how a number becomes a row
  table.compute[static_cast<int>(Op::complex)][static_cast<int>(DType::float32)] = binary<join, float>;
  table.reduce[0][kComplex] = Reduce<Op::reduce_sum>::kFns;
  table.reduce[1][kComplex] = Reduce<Op::reduce_prod>::kFns;
  table.reduce[2][kComplex] = Reduce<Op::reduce_max>::kFns;
  table.reduce[3][kComplex] = Reduce<Op::reduce_min>::kFns;
}

}  // namespace plait::cpu
