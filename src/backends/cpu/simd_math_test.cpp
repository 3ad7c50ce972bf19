// Every mathematical function of every instruction set that this machine runs, through the tables of the tile interpreter,
// against the C library one precision up. Each line printed has the largest error found, in units in the last place.
#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <cstdio>
#include <functional>
#include <limits>
#include <numbers>
#include <random>
#include <string>
#include <vector>

#include "backends/cpu/cpu_features.h"
#include "backends/cpu/tile_kernels.h"

namespace plait::cpu {
namespace {

using ir::Op;

constexpr double kMaxUlp = 2;

struct Built {
  Target target;
  TileKernels table;
};

std::vector<Built> built_targets() {
  std::vector<Built> built;
  const auto add = [&](Target target, auto... fill) {
    if (!supported(target)) return;
    built.push_back({target, {}});
    (fill(built.back().table), ...);
  };
  add(Target::portable, portable::add_float_kernels, portable::add_math_kernels, portable::add_convert_kernels);
#if defined(__x86_64__)
  add(Target::avx2, avx2::add_float_kernels, avx2::add_math_kernels, avx2::add_convert_kernels);
  add(Target::avx512, avx512::add_float_kernels, avx512::add_math_kernels, avx512::add_convert_kernels);
#endif
  return built;
}

// A type wide enough to judge T by.
template <class T>
using Wide = std::conditional_t<sizeof(T) == 4, double, long double>;
template <class T>
using Bits = std::conditional_t<sizeof(T) == 4, uint32_t, uint64_t>;

/// Error of `got` in units in the last place of T at `want`; infinite where zeros, infinities, NaNs or signs do not agree.
template <class T>
double error_in_ulp(T got, Wide<T> want) {
  constexpr double kWrong = std::numeric_limits<double>::infinity();
  if (std::isnan(want) || std::isnan(got)) return std::isnan(want) && std::isnan(got) ? 0 : kWrong;
  if (std::signbit(got) != std::signbit(want)) return kWrong;
  if (want == 0) return got == 0 ? 0 : kWrong;
  using Limits = std::numeric_limits<T>;
  if (std::fabs(want) >= std::ldexp(Wide<T>(1), Limits::max_exponent)) return std::isinf(got) ? 0 : kWrong;
  const int exponent = std::max(std::ilogb(want), Limits::min_exponent - 1);
  // Infinity stands for the power of two that overflow begins at.
  const Wide<T> reached =
      std::isinf(got) ? std::copysign(std::ldexp(Wide<T>(1), Limits::max_exponent), want) : Wide<T>(got);
  return static_cast<double>(std::fabs(reached - want) / std::ldexp(Wide<T>(1), exponent - Limits::digits + 1));
}

template <class T>
std::vector<T> special_values() {
  using Limits = std::numeric_limits<T>;
  std::vector<T> values;
  const T one = 1;
  for (const T x : {T(0), one, T(2), T(3), T(0.5), T(0.25), T(1e15), Limits::infinity(), Limits::max(), Limits::min(),
                    Limits::denorm_min(), std::nextafter(Limits::min(), T(0)), std::nextafter(one, T(0)),
                    std::nextafter(one, T(2)), T(1.5), T(2.5), std::ldexp(one, Limits::digits),
                    std::ldexp(one, Limits::digits) - 1, std::ldexp(one, Limits::digits - 1) + 1}) {
    values.push_back(x);
    values.push_back(-x);
  }
  values.push_back(Limits::quiet_NaN());
  return values;
}

constexpr size_t kBlock = 4096;

/// Bit patterns with every sign, exponent and leading mantissa bits; random ones; values spread over +-20 and +-1; overflow edges.
template <class T>
std::vector<T> unary_samples() {
  std::vector<T> x = special_values<T>();
  std::mt19937_64 random(7);
  for (Bits<T> high = 0; high < 1u << 16; ++high) {
    const Bits<T> bits = high << (8 * sizeof(T) - 16);
    x.push_back(std::bit_cast<T>(bits));
    x.push_back(std::bit_cast<T>(static_cast<Bits<T>>(bits | (random() >> (8 * (8 - sizeof(T)) + 16)))));
  }
  std::uniform_real_distribution<double> unit(-1, 1);
  for (int i = 0; i < 60000; ++i) {
    x.push_back(static_cast<T>(unit(random)));
    x.push_back(static_cast<T>(20 * unit(random)));
    x.push_back(static_cast<T>(1 + unit(random) / 2));
    x.push_back(static_cast<T>((sizeof(T) == 4 ? 110 : 760) * unit(random)));
    x.push_back(static_cast<T>(1e5 * unit(random)));
  }
  x.resize((x.size() + kBlock - 1) / kBlock * kBlock);
  return x;
}

template <class T>
void binary_samples(std::vector<T>& x, std::vector<T>& y) {
  for (const T a : special_values<T>()) {
    for (const T b : special_values<T>()) {
      x.push_back(a);
      y.push_back(b);
    }
  }
  std::mt19937_64 random(11);
  std::uniform_real_distribution<double> unit(-1, 1);
  for (int i = 0; i < 60000; ++i) {
    x.push_back(std::bit_cast<T>(static_cast<Bits<T>>(random())));
    y.push_back(std::bit_cast<T>(static_cast<Bits<T>>(random())));
    x.push_back(static_cast<T>(10 * unit(random)));
    y.push_back(static_cast<T>(10 * unit(random)));
    x.push_back(static_cast<T>(std::exp2(30 * unit(random))));
    y.push_back(static_cast<T>(20 * unit(random)));
    x.push_back(static_cast<T>(1 + unit(random) * 1e-3));
    y.push_back(static_cast<T>(1e5 * unit(random)));
    x.push_back(static_cast<T>(-10 * std::fabs(unit(random))));
    y.push_back(std::round(static_cast<T>(30 * unit(random))));
  }
  x.resize((x.size() + kBlock - 1) / kBlock * kBlock, T(1));
  y.resize(x.size(), T(1));
}

template <class T>
void expect_close(Op op, const std::vector<T>& x, const std::vector<T>& y,
                  const std::function<Wide<T>(Wide<T>, Wide<T>)>& oracle) {
  static const std::vector<Built> built = built_targets();
  std::vector<Wide<T>> want(x.size());
  for (size_t i = 0; i < x.size(); ++i) want[i] = oracle(x[i], y.empty() ? 0 : y[i]);
  std::string line;
  for (const Built& b : built) {
    const TileFn run = b.table.compute[static_cast<int>(op)][static_cast<int>(dtype_of<T>)];
    ASSERT_NE(run, nullptr) << ir::name_of(op) << " " << name_of(b.target);
    std::vector<T> got(x.size());
    for (size_t i = 0; i < x.size(); i += kBlock) {
      run(reinterpret_cast<char*>(&got[i]), reinterpret_cast<const char*>(&x[i]),
          reinterpret_cast<const char*>(y.empty() ? &x[i] : &y[i]), nullptr, 0, kBlock);
    }
    double worst = 0;
    size_t where = 0;
    for (size_t i = 0; i < x.size(); ++i) {
      const double error = error_in_ulp(got[i], want[i]);
      if (!(error <= worst)) worst = error, where = i;
    }
    EXPECT_LE(worst, kMaxUlp) << ir::name_of(op) << " " << name_of(b.target) << " at " << x[where]
                              << (y.empty() ? T(0) : y[where]) << ": " << got[where] << ", expected " << want[where];
    char text[64];
    std::snprintf(text, sizeof text, "  %s %.3f", std::string(name_of(b.target)).c_str(), worst);
    line += text;
  }
  std::printf("%-6s float%d %s\n", std::string(ir::name_of(op)).c_str(), static_cast<int>(8 * sizeof(T)), line.c_str());
}

/// By Newton's steps on erf, or on erfc where erf is near 1.
template <class W>
W erfinv(W y) {
  if (!(std::fabs(y) < 1))
    return std::fabs(y) == 1 ? std::copysign(std::numeric_limits<W>::infinity(), y)
                             : std::numeric_limits<W>::quiet_NaN();
  if (y == 0) return y;
  const long double a = std::fabs(static_cast<long double>(y));
  const long double w = -std::log1p(-a) - std::log1p(a);
  long double x = std::sqrt(w) * (w < 1 ? 0.9L : 0.97L);
  for (int i = 0; i < 60; ++i) {
    const long double miss = a > 0.5L ? (1 - a) - std::erfc(x) : std::erf(x) - a;
    const long double step = miss * std::sqrt(std::numbers::pi_v<long double>) / 2 * std::exp(x * x);
    x -= step;
    if (std::fabs(step) < 1e-18L * x) break;
  }
  return static_cast<W>(std::copysign(x, static_cast<long double>(y)));
}

template <class T>
void unary_functions() {
  using W = Wide<T>;
  const std::vector<T> x = unary_samples<T>();
  const auto check = [&](Op op, W (*oracle)(W)) { expect_close<T>(op, x, {}, [oracle](W a, W) { return oracle(a); }); };
  check(Op::exp, [](W a) { return std::exp(a); });
  check(Op::exp2, [](W a) { return std::exp2(a); });
  check(Op::expm1, [](W a) { return std::expm1(a); });
  check(Op::log, [](W a) { return std::log(a); });
  check(Op::log2, [](W a) { return std::log2(a); });
  check(Op::log10, [](W a) { return std::log10(a); });
  check(Op::log1p, [](W a) { return std::log1p(a); });
  check(Op::sin, [](W a) { return std::sin(a); });
  check(Op::cos, [](W a) { return std::cos(a); });
  check(Op::tan, [](W a) { return std::tan(a); });
  check(Op::asin, [](W a) { return std::asin(a); });
  check(Op::acos, [](W a) { return std::acos(a); });
  check(Op::atan, [](W a) { return std::atan(a); });
  check(Op::sinh, [](W a) { return std::sinh(a); });
  check(Op::cosh, [](W a) { return std::cosh(a); });
  check(Op::tanh, [](W a) { return std::tanh(a); });
  check(Op::asinh, [](W a) { return std::asinh(a); });
  check(Op::acosh, [](W a) { return std::acosh(a); });
  check(Op::atanh, [](W a) { return std::atanh(a); });
  check(Op::erf, [](W a) { return std::erf(a); });
  check(Op::erfinv, [](W a) { return erfinv(a); });
  check(Op::sqrt, [](W a) { return std::sqrt(a); });
  check(Op::rsqrt, [](W a) { return 1 / std::sqrt(a); });
  check(Op::floor, [](W a) { return std::floor(a); });
  check(Op::ceil, [](W a) { return std::ceil(a); });
  check(Op::trunc, [](W a) { return std::trunc(a); });
  check(Op::rint, [](W a) { return std::nearbyint(a); });
}

template <class T>
void binary_functions() {
  using W = Wide<T>;
  std::vector<T> x, y;
  binary_samples(x, y);
  expect_close<T>(Op::pow, x, y, [](W a, W b) { return std::pow(a, b); });
  expect_close<T>(Op::atan2, x, y, [](W a, W b) { return std::atan2(a, b); });
}

TEST(SimdMath, FunctionsOfFloat32) { unary_functions<float>(); }
TEST(SimdMath, FunctionsOfFloat64) { unary_functions<double>(); }
TEST(SimdMath, FunctionsOfTwoFloat32) { binary_functions<float>(); }
TEST(SimdMath, FunctionsOfTwoFloat64) { binary_functions<double>(); }

}  // namespace
}  // namespace plait::cpu
