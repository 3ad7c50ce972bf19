// Functions of complex64: the textbook formulas in double, where squares of floats neither overflow nor underflow and where
// cancellation leaves more than a float shows (W. Kahan, 1987, for the inverse functions). Rounded once at the end.
#pragma once

#include "backends/cpu/simd/math.h"
#include "backends/cpu/simd/power.h"
#include "backends/cuda/regions/device/far_angles.cuh"
#include "backends/cuda/regions/device/types.cuh"

namespace plait::cuda {

namespace real = plait::cpu::device;
using Wide = real::Lane<double>;

struct WideComplex {
  Wide re, im;
};
PLAIT_D WideComplex wide(Complex z) { return {static_cast<double>(z.re), static_cast<double>(z.im)}; }
PLAIT_D Complex narrow(WideComplex z) { return {__double2float_rn(z.re.v), __double2float_rn(z.im.v)}; }
PLAIT_D bool infinite(Wide x) { return real::abs(x).v == real::kInfinity<Wide>; }
PLAIT_D bool finite(Wide x) { return x.v - x.v == 0; }
/// Times i.
PLAIT_D WideComplex turned(WideComplex z) { return {-z.im, z.re}; }
/// Times -i.
PLAIT_D WideComplex turned_back(WideComplex z) { return {z.im, -z.re}; }
PLAIT_D WideComplex scaled(WideComplex z, double by) { return {z.re * by, z.im * by}; }

PLAIT_D Wide modulus(WideComplex z) {
  if (infinite(z.re) || infinite(z.im)) return real::kInfinity<Wide>;
  return real::sqrt(z.re * z.re + z.im * z.im);
}

static __device__ __noinline__ WideComplex sqrt_complex(WideComplex z) {
  if (z.re.v == 0 && z.im.v == 0) return {0.0, z.im};
  if (infinite(z.im)) return {real::kInfinity<Wide>, z.im};
  if (infinite(z.re)) {
    if (z.re.v > 0) return {z.re, z.im.v == z.im.v ? real::copysign(Wide(0.0), z.im) : z.im};
    return {z.im.v == z.im.v ? Wide(0.0) : z.im, real::copysign(Wide(real::kInfinity<Wide>), z.im)};
  }
  const Wide t = real::sqrt((modulus(z) + real::abs(z.re)) * 0.5);
  if (z.re.v >= 0) return {t, z.im / (2.0 * t)};
  return {real::abs(z.im) / (2.0 * t), real::copysign(t, z.im)};
}
static __device__ __noinline__ WideComplex exp_complex(WideComplex z) {
  const Wide e = real::exp(z.re);
  if (z.im.v == 0) return {e, z.im};
  if (!finite(z.im)) {
    if (z.re.v == -real::kInfinity<Wide>) return {0.0, 0.0};
    return {z.re.v == real::kInfinity<Wide> ? z.re : Wide(real::kNaN<Wide>), real::kNaN<Wide>};
  }
  if (e.v == 0) return {real::copysign(e, real::cos(z.im)), real::copysign(e, real::sin(z.im))};
  return {e * real::cos(z.im), e * real::sin(z.im)};
}
static __device__ __noinline__ WideComplex expm1_complex(WideComplex z) {
  if (!finite(z.re) || !finite(z.im)) {
    const WideComplex e = exp_complex(z);
    return {e.re - 1.0, e.im};
  }
  const Wide half = real::sin(z.im * 0.5);
  return {real::expm1(z.re) * real::cos(z.im) - 2.0 * half * half, real::exp(z.re) * real::sin(z.im)};
}
/// log(z) for |z|^2 = 1 + above.
PLAIT_D WideComplex log_near_one(WideComplex z, Wide above) {
  return {real::log1p(above) * 0.5, real::atan2(z.im, z.re)};
}
static __device__ __noinline__ WideComplex log_complex(WideComplex z) {
  const Wide angle = real::atan2(z.im, z.re);
  if (infinite(z.re) || infinite(z.im)) return {real::kInfinity<Wide>, angle};
  const Wide square = z.re * z.re + z.im * z.im;
  if (square.v > 0.5 && square.v < 2) {
    const Wide a = real::max_or_second(real::abs(z.re), real::abs(z.im)),
               b = real::min_or_second(real::abs(z.re), real::abs(z.im));
    return log_near_one(z, (a - 1.0) * (a + 1.0) + b * b);
  }
  return {real::log(square) * 0.5, angle};
}
static __device__ __noinline__ WideComplex log1p_complex(WideComplex z) {
  const WideComplex u = {z.re + 1.0, z.im};
  if (real::abs(z.re).v < 0.5 && real::abs(z.im).v < 0.5) return log_near_one(u, z.re * (z.re + 2.0) + z.im * z.im);
  return log_complex(u);
}
static __device__ __noinline__ WideComplex sinh_complex(WideComplex z) {
  if (z.im.v == 0) return {real::sinh(z.re), z.im};
  return {real::sinh(z.re) * real::cos(z.im), real::cosh(z.re) * real::sin(z.im)};
}
static __device__ __noinline__ WideComplex cosh_complex(WideComplex z) {
  if (z.im.v == 0) return {real::cosh(z.re), z.re.v == z.re.v ? z.im * real::copysign(Wide(1.0), z.re) : z.im};
  return {real::cosh(z.re) * real::cos(z.im), real::sinh(z.re) * real::sin(z.im)};
}
static __device__ __noinline__ WideComplex tanh_complex(WideComplex z) {
  if (z.im.v == 0) return {real::tanh(z.re), z.im};
  if (real::abs(z.re).v > 22) {  // 1 in double; the imaginary part is 4 sin cos e^-2|x|
    const Wide small =
        finite(z.im) ? 4.0 * real::sin(z.im) * real::cos(z.im) * real::exp(real::abs(z.re) * -2.0) : Wide(0.0);
    return {real::copysign(Wide(1.0), z.re), small};
  }
  const Wide s = real::sinh(z.re), c = real::cos(z.im);
  const Wide below = s * s + c * c;
  return {s * real::cosh(z.re) / below, real::sin(z.im) * c / below};
}
static __device__ __noinline__ WideComplex asin_complex(WideComplex z) {
  const WideComplex a = sqrt_complex({1.0 - z.re, -z.im}), b = sqrt_complex({1.0 + z.re, z.im});
  return {real::atan2(z.re, a.re * b.re - a.im * b.im), real::asinh(a.re * b.im - a.im * b.re)};
}
static __device__ __noinline__ WideComplex acos_complex(WideComplex z) {
  const WideComplex a = sqrt_complex({1.0 - z.re, -z.im}), b = sqrt_complex({1.0 + z.re, z.im});
  return {2.0 * real::atan2(a.re, b.re), real::asinh(b.re * a.im - b.im * a.re)};
}
static __device__ __noinline__ WideComplex acosh_complex(WideComplex z) {
  const WideComplex a = sqrt_complex({z.re - 1.0, z.im}), b = sqrt_complex({z.re + 1.0, z.im});
  return {real::asinh(a.re * b.re + a.im * b.im), 2.0 * real::atan2(a.im, b.re)};
}
static __device__ __noinline__ WideComplex atanh_complex(WideComplex z) {
  const Wide below = 1.0 - z.re;
  return {real::log1p(4.0 * z.re / (below * below + z.im * z.im)) * 0.25,
          real::atan2(2.0 * z.im, below * (1.0 + z.re) - z.im * z.im) * 0.5};
}
static __device__ __noinline__ WideComplex divided(WideComplex a, WideComplex b) {
  const Wide below = b.re * b.re + b.im * b.im;
  if (below.v == 0) {
    const Wide inf = real::copysign(Wide(real::kInfinity<Wide>), b.re);
    return {inf * a.re, inf * a.im};
  }
  if ((infinite(b.re) || infinite(b.im)) && finite(a.re) && finite(a.im)) {
    const Wide c = real::copysign(Wide(infinite(b.re) ? 1.0 : 0.0), b.re),
               d = real::copysign(Wide(infinite(b.im) ? 1.0 : 0.0), b.im);
    return {0.0 * (a.re * c + a.im * d), 0.0 * (a.im * c - a.re * d)};
  }
  return {(a.re * b.re + a.im * b.im) / below, (a.im * b.re - a.re * b.im) / below};
}

}  // namespace plait::cuda
