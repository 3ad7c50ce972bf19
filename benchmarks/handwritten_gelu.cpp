// The yardstick for fused code: tanh-gelu(x * a + b) + x, as a person would write it for AVX-512 by hand. It keeps to
// the formula as the workload states it, with a tanh of its own that is good to 2.5 ULP: handwritten_gelu THREADS ROWS
// COLUMNS.
#include <algorithm>
#include <cmath>

#include "native.h"

#if !defined(__AVX512F__)

int main() { return yardstick::refuse("missing", "this machine has no AVX-512"); }

#else

namespace {

/// tanh(u) = e / (e + 2) with e = exp(2u) - 1, which loses nothing near zero.
/// e is taken as 2^n (1 + p) - 1 = 2^n p + (2^n - 1), where 2u = n ln 2 + r and p = exp(r) - 1 is a polynomial in r:
/// its Taylor series up to r^7, whose rest is below 2^-27 of r for |r| <= ln(2) / 2.
__m512 tanh16(__m512 u) {
  const __m512 limit = _mm512_set1_ps(9.02F);  // beyond it tanh rounds to 1
  u = _mm512_min_ps(_mm512_max_ps(u, _mm512_sub_ps(_mm512_setzero_ps(), limit)), limit);
  const __m512 n = _mm512_roundscale_ps(_mm512_mul_ps(u, _mm512_set1_ps(2.88539008F)),
                                        _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
  __m512 r = _mm512_fnmadd_ps(n, _mm512_set1_ps(0x1.62e4p-1F), _mm512_add_ps(u, u));  // ln 2 in two parts
  r = _mm512_fnmadd_ps(n, _mm512_set1_ps(0x1.7f7d1cp-20F), r);
  __m512 q = _mm512_set1_ps(1.0F / 5040);
  for (const float term : {1.0F / 720, 1.0F / 120, 1.0F / 24, 1.0F / 6, 1.0F / 2})
    q = _mm512_fmadd_ps(q, r, _mm512_set1_ps(term));
  const __m512 p = _mm512_fmadd_ps(_mm512_mul_ps(r, r), q, r);
  const __m512 one = _mm512_set1_ps(1.0F);
  const __m512 power = _mm512_scalef_ps(one, n);
  const __m512 e = _mm512_fmadd_ps(power, p, _mm512_sub_ps(power, one));
  return _mm512_div_ps(e, _mm512_add_ps(e, _mm512_set1_ps(2.0F)));
}

__m512 gelu16(__m512 x, __m512 a, __m512 b) {
  const __m512 z = _mm512_fmadd_ps(x, a, b);
  const __m512 cube = _mm512_mul_ps(_mm512_mul_ps(z, z), z);
  const __m512 inner =
      _mm512_mul_ps(_mm512_fmadd_ps(cube, _mm512_set1_ps(0.044715F), z), _mm512_set1_ps(0.7978845608F));
  const __m512 half = _mm512_mul_ps(z, _mm512_set1_ps(0.5F));
  return _mm512_add_ps(_mm512_fmadd_ps(half, tanh16(inner), half), x);
}

void rows(const float* x, const float* a, const float* b, float* y, int64_t count, int64_t columns) {
  for (int64_t row = 0; row < count; ++row) {
    for (int64_t j = 0; j < columns; j += 16) {
      const __m512 value = _mm512_loadu_ps(x + row * columns + j);
      _mm512_stream_ps(y + row * columns + j, gelu16(value, _mm512_loadu_ps(a + j), _mm512_loadu_ps(b + j)));
    }
  }
  _mm_sfence();
}

/// Distance of tanh16 from the true value in units of the last place, over the range that matters.
double worst_tanh_ulp() {
  double worst = 0;
  for (double at = -9.5; at < 9.5; at += 1e-4) {
    const float u = static_cast<float>(at);
    const double truth = std::tanh(static_cast<double>(u));
    const float got = _mm512_cvtss_f32(tanh16(_mm512_set1_ps(u)));
    const float near = std::fabs(static_cast<float>(truth));
    worst = std::max(worst, std::fabs(got - truth) / (std::nextafter(near, 2.0F) - near));
  }
  return worst;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 4) return yardstick::refuse("error", "usage: handwritten_gelu THREADS ROWS COLUMNS");
  const int64_t count = std::atoll(argv[2]);
  const int64_t columns = std::atoll(argv[3]);
  if (columns % 16 != 0) return yardstick::refuse("error", "columns must be a multiple of 16");
  const double ulp = worst_tanh_ulp();
  if (ulp > 2.5)
    return yardstick::refuse("error", "tanh is off by " + std::to_string(ulp) + " units in the last place");

  yardstick::Team team(std::atoi(argv[1]));
  const auto x = yardstick::floats(count * columns);
  const auto y = yardstick::floats(count * columns);
  const auto a = yardstick::floats(columns);
  const auto b = yardstick::floats(columns);
  for (size_t i = 0; i < x.size(); ++i) x[i] = static_cast<float>(i * 2654435761U % 8192) / 2048.0F - 2.0F;
  std::fill(a.begin(), a.end(), 0.75F);
  std::fill(b.begin(), b.end(), 0.125F);
  return yardstick::serve("tanh within " + std::to_string(ulp).substr(0, 4) + " ULP", [&] {
    team.run([&](int part) {
      const auto [begin, end] = yardstick::share(count, part, team.size(), 1);
      rows(&x[begin * columns], a.data(), b.data(), &y[begin * columns], end - begin, columns);
    });
  });
}

#endif
