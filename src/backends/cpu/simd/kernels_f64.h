// The parts of math.h that depend on double; see kernels_f32.h, which explains the members.
#pragma once

#include "backends/cpu/simd/kernels_f32.h"
#include "backends/cpu/simd/pairs.h"
#include "backends/cpu/simd/vec.h"

namespace plait::cpu::PLAIT_TARGET {

template <>
struct Kernel<double> {
  using V = Vec<double>;

  static constexpr int kMantissaBits = 52, kBias = 1023;
  static constexpr double kMagic = 0x1.8p52;
  static constexpr double kSmallestNormal = 0x1p-1022;

  static constexpr double kExpLow = -746.0, kExpHigh = 710.0, kExp2Low = -1077.0, kExp2High = 1025.0,
                          kExpNegligible = 42.0;
  static constexpr double kLn2High = 0x1.62e42fefa2p-1, kLn2Low = 0x1.9ef35793c7673p-41, kLn2 = 0x1.62e42fefa39efp-1;
  static constexpr double kLog10Of2High = 0x1.34413509f6p-2, kLog10Of2Low = 0x1.9fef311f12b36p-42;
  static constexpr double kLog2OfEHigh = 0x1.71547652b82fep+0, kLog2OfELow = 0x1.777d0ffda0d24p-56;
  static constexpr double kLog10OfEHigh = 0x1.bcb7b1526e50ep-2, kLog10OfELow = 0x1.95355baaafad3p-57;
  static constexpr double kHalfPiHigh = 0x1.921fb54442d18p+0, kHalfPiLow = 0x1.1a62633145c07p-54;
  static constexpr double kOverPi = 0x1.45f306dc9c883p-2;
  static constexpr double kFarAngle = kFusedMultiplyAdd ? 0x1p30 : 0x1p25;
  static constexpr double kLarge = 0x1p500;
  static constexpr double kAsinSplit = 0.5625;
  static constexpr double kErfIsOne = 6.0;

  PLAIT_SIMD Pair<V> minus_multiple_of_pi_pair(V x, V k) {
    if constexpr (kFusedMultiplyAdd) {
      const auto p = two_product(k, splat<V>(-0x1.1a62633145c07p-53));
      const auto r = two_sum(fma(k, -0x1.921fb54442d18p+1, x), p.high);
      return fast_two_sum(r.high, fma(k, 0x1.f1976b7ed8fbcp-109, r.low + p.low));
    } else {  // 27-bit parts: their products with k are exact
      const auto r = two_sum(x - k * 0x1.921fb54p+1, k * -0x1.10b461p-29);
      return fast_two_sum(r.high, r.low - k * 0x1.a62633p-57 - k * 0x1.45c06e0e68948p-85);
    }
  }

  PLAIT_SIMD V minus_multiple_of_pi(V x, V k) {
    if constexpr (kFusedMultiplyAdd) {
      return fma(k, 0x1.f1976b7ed8fbcp-109, fma(k, -0x1.1a62633145c07p-53, fma(k, -0x1.921fb54442d18p+1, x)));
    } else {
      return minus_multiple_of_pi_pair(x, k).high;
    }
  }

  PLAIT_SIMD V exp_tail(V r) {
    return polynomial(r, {0x1.000000000000ap-1, 0x1.5555555555477p-3, 0x1.55555555503c1p-5, 0x1.111111114b26fp-7,
                          0x1.6c16c1857923fp-10, 0x1.a01a005f33d1bp-13, 0x1.a019960776a3ep-16, 0x1.71e0ff6d192dbp-19,
                          0x1.28b1742ddfbcdp-22, 0x1.aa76d529cf16ap-26});  // exp_f64
  }
  PLAIT_SIMD V exp2_head(V r) {
    return polynomial(r, {0x1.62e42fefa39efp-1, 0x1.ebfbdff82c5b3p-3, 0x1.c6b08d704a26dp-5, 0x1.3b2ab6fb9db0ap-7,
                          0x1.5d87fe784699fp-10, 0x1.430913165c14cp-13, 0x1.ffcbfe5c61d5cp-17, 0x1.62bfb525f494dp-20,
                          0x1.b520a389da95dp-24, 0x1.e63a51f79aa9p-28, 0x1.f0a294399357bp-32});  // exp2_f64
  }
  PLAIT_SIMD V exp2_head_short(V r) { return exp2_head(r); }
  /// log(1 + f) = 2 s + s^3 p(s^2), s = f / (2 + f); 2 s = f - s f, arranged so that f^2 / 2 is exact enough (as in fdlibm).
  PLAIT_SIMD V log1p_tail(V f) {
    const V s = f / (2 + f), z = s * s, half_square = 0.5 * f * f;
    const V p = polynomial(z, {0x1.5555555555776p-1, 0x1.99999998f0b76p-2, 0x1.249249b229b3bp-2, 0x1.c71c015fe97a9p-3,
                               0x1.7474e366d1834p-3, 0x1.3852ca61f8655p-3, 0x1.3abe842e4b6ccp-3});  // log_f64
    return s * fma(z, p, half_square) - half_square;
  }
  PLAIT_SIMD V sin_tail(V z) {
    const V q = polynomial(
        z, {0x1.11111111110cfp-7, -0x1.a01a01a0159bp-13, 0x1.71de3a5324b36p-19, -0x1.ae64552f3f073p-26,
            0x1.6123f00d24ae2p-33, -0x1.ae52dafd8782fp-41, 0x1.8bc2a5388acd3p-49, -0x1.5d0d13574131dp-59});  // sin_f64
    return fma(z, -0x1.5555555555555p-3, z * z * q);
  }
  PLAIT_SIMD V tan_tail(V z) {
    return polynomial(z, {0x1.555555555544ep-2, 0x1.1111111122cdp-3, 0x1.ba1ba1acbfb46p-5, 0x1.664f4b0c3cd39p-6,
                          0x1.226dec7287b7p-7, 0x1.d6de6075c3dc8p-9, 0x1.7d1e717e88c5ap-10, 0x1.39eb8b373ae1p-11,
                          0x1.bc38bcd4d4cbcp-13, 0x1.4a9d07fd1505fp-13, -0x1.d0149a4ed82d2p-15, 0x1.e3a730a54b595p-14,
                          -0x1.ea5e7743fd642p-15, 0x1.93592b70c8ccap-16});  // tan_f64
  }
  PLAIT_SIMD V asin_tail(V z) {
    return polynomial(z, {0x1.55555555554d8p-3, 0x1.33333333446fep-4, 0x1.6db6db6071628p-5, 0x1.f1c72199d4318p-6,
                          0x1.6e8b0b338843p-6, 0x1.1c5a04e23e88fp-6, 0x1.c8777733d6161p-7, 0x1.84c2362ae73d4p-7,
                          0x1.fc9e15e27a314p-8, 0x1.1eb75ebf706d7p-6, -0x1.639801be66193p-6, 0x1.1938653b2282dp-4,
                          -0x1.3a8fac80e471fp-4, 0x1.ea36897873da9p-5});  // asin_f64
  }
  PLAIT_SIMD V atan_tail(V z) {
    return polynomial(
        z, {-0x1.5555555555526p-2, 0x1.99999999955afp-3,  -0x1.249249237eef7p-3,  0x1.c71c717f9a0cdp-4,
            -0x1.745d11a846ac6p-4, 0x1.3b136630c13c1p-4,  -0x1.110e4ca173319p-4,  0x1.e1bb6241a091fp-5,
            -0x1.ae5d02fbb23d9p-5, 0x1.82d5220c06f15p-5,  -0x1.5992f4d2bcacap-5,  0x1.2c07b3fbf84ccp-5,
            -0x1.e973fcdbdcf1fp-6, 0x1.678b4bbfc38f3p-6,  -0x1.c62bebefdeecfp-7,  0x1.d5a64c7aa8fcap-8,
            -0x1.77fef86bd5726p-9, 0x1.b0b78d82add3bp-11, -0x1.3c4d67d23ce5fp-13, 0x1.b72813e6b6412p-17});  // atan_f64
  }
  PLAIT_SIMD V atanh_tail(V z) {
    return polynomial(z, {0x1.555555555555ap-2, 0x1.9999999998278p-3, 0x1.24924925cde04p-3, 0x1.c71c70bf93e2ep-4,
                          0x1.745d5564fc09fp-4, 0x1.3b0ae044e9acfp-4, 0x1.11d54e10c0f06p-4, 0x1.cd8b73b4cf77bp-5,
                          0x1.20170a34c611ep-4});  // atanh_f64
  }
  PLAIT_SIMD V sinh_tail(V z) {
    return polynomial(z, {0x1.5555555555556p-3, 0x1.111111111101ep-7, 0x1.a01a01a03726ap-13, 0x1.71de3a3b06a17p-19,
                          0x1.ae646ff52fd34p-26, 0x1.6116f48c37e49p-33, 0x1.b5c89f3067237p-41});  // sinh_f64
  }
  PLAIT_SIMD V erf_near(V z) {
    return polynomial(z, {0x1.06eba8214db69p-3, -0x1.812746b0379e7p-2, 0x1.ce2f21a042bddp-4, -0x1.b82ce3128899bp-6,
                          0x1.565bcd0e64ab8p-8, -0x1.c02db3fed8f8p-11, 0x1.f9a326bfb73ebp-14, -0x1.f4d255e1495e6p-17,
                          0x1.b9e64d07e9a82p-20, -0x1.5f6d6b52bd34cp-23, 0x1.fc4117259bb8p-27, -0x1.4e55ccd95aaf7p-30,
                          0x1.7ecbf8853550fp-34, -0x1.2928f4fed705cp-38});  // erf_near_f64
  }
  PLAIT_SIMD V erf_far(V y) {
    return polynomial(y, {-0x1.558eada6637f3p+1, -0x1.e75328fe78c2fp+1, -0x1.37627e9b5d747p+0, -0x1.eb31368628878p-5,
                          0x1.da57641c16569p-7, -0x1.7603db31db73dp-9, 0x1.6701e51b8d964p-12, 0x1.3e38afc454908p-15,
                          -0x1.491f66a394175p-15, 0x1.d3ebec3d289c2p-17, -0x1.9bbf743b6c9bap-19, 0x1.36d6616df8234p-22,
                          0x1.756ed42555721p-24, -0x1.a8a51b0c41523p-25, 0x1.b1f5984a36f0fp-27, -0x1.0dd74c1c7505p-29,
                          0x1.8875bb6230b4dp-33, -0x1.015d3ad3a6aep-37});  // erf_far_f64
  }
  PLAIT_SIMD Pair<V> erfinv_ratio(V w) {
    const V near =
        polynomial(w, {0x1.db29fb2fee58fp-3,   0x1.7a72e72c29e76p-7,   -0x1.321102604474cp-9,  -0x1.0c86b75cd57f6p-13,
                       0x1.87013d4c50b0dp-15,  0x1.0f2150e0a2154p-19,  -0x1.0fda52d7feb23p-20, -0x1.3e250967be628p-25,
                       0x1.82b38c2b7ae28p-26,  0x1.11519fba30e9ep-30,  -0x1.76415c6d6fdp-31,   0x1.1558b5b96671cp-34,
                       -0x1.4b690877c07adp-36, 0x1.54d8f09dffe4ap-37,  -0x1.4ca6d55f2e46fp-39, 0x1.5c7f9b4990ef5p-42,
                       -0x1.66c00958865dfp-46, -0x1.cde7adc5e8a99p-54, 0x1.148547eb4b86ap-53,  -0x1.3892e768933d7p-57,
                       0x1.efbaea84c6903p-63});  // erfinv_near_f64 but its first
    const V s = sqrt(w), from_middle = s - 2.85, from_far = s - 4.85;
    const V middle = polynomial(from_middle, {0x1.ff193613f9251p-1,  0x1.c3ae9fe1252c7p-7,   -0x1.87cecc2f90572p-7,
                                              0x1.225789988da0cp-7,  -0x1.40f09fe840d86p-8,  0x1.6ee2bb5d3802bp-10,
                                              0x1.84e8c08f3cd26p-12, -0x1.34bde49efe0cp-11,  0x1.dfe92c8dd4p-13,
                                              0x1.d9e70b42c0429p-16, -0x1.223258fabffe5p-14, 0x1.bda579d2f9bfcp-16,
                                              0x1.b2313e7854efbp-19, -0x1.f079e4d93c42fp-18, 0x1.70c753f4aa3b9p-19,
                                              0x1.5affc5faf7f0ap-22, -0x1.9ee7f1b90d95bp-21, 0x1.2384e13421acbp-22,
                                              0x1.2a6453800535ap-24, -0x1.0c4f20b830b2bp-24});  // erfinv_middle_f64
    const V far = polynomial(
        from_far, {0x1.02a4c1b93736p+0,    -0x1.0403a46440596p-15, -0x1.16455b58a2878p-12, 0x1.8398cbf09f4d3p-14,
                   -0x1.973a54a9e3eacp-16, 0x1.80ee0aa24122cp-18,  -0x1.6705d7c08f094p-20, 0x1.83119b82799bap-22,
                   -0x1.26b868a6cfd9p-23,  0x1.2c39279fdf313p-24,  -0x1.4126c77dc9832p-25, 0x1.3634a0a99c446p-26,
                   -0x1.f65ab57a45442p-28, 0x1.38a7d06f258f3p-29,  -0x1.c9ad76e4416c3p-32, -0x1.9a915f6ae6a79p-35,
                   0x1.5274e8a7013ebp-34,  -0x1.60ce221e5e1aep-35, 0x1.c50f7dc9a756cp-37,  -0x1.3fea2ece36db3p-41,
                   -0x1.5ebf640776772p-40, 0x1.5f30becc175fdp-42});  // erfinv_far_f64
    const auto inner = w < 5, outer = s > 3.5;
    return {select(inner, splat<V>(0x1.c5bf891b4ef6bp-1),
                   select(outer, splat<V>(0x1.2cb1e9d8f4ca7p+2), splat<V>(0x1.576b76655d68fp+1))),
            select(inner, w * near, select(outer, from_far * far, from_middle * middle))};
  }
};

}  // namespace plait::cpu::PLAIT_TARGET
